#!/usr/bin/env bash
# Updates a model that the hub has, to its newest or to a named version, on the devices that match.
#   update_model.sh MODEL[@VERSION] SELECTOR [options of 'verge deploy', such as --max-latency-ratio 2]
#   update_model.sh efficientnet_lite0 site=plant1
# Exit status 0: every device committed it; a device that rolled back or refused is told with its reason.
set -euo pipefail
usage() { sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ $# -ge 2 ] && [ "${1:0:1}" != - ] && [ "${2:0:1}" != - ] || usage
what=$1 selector=$2
shift 2
[[ $what =~ ^[a-z0-9]+([._-][a-z0-9]+)*(@[0-9]+\.[0-9]+\.[0-9]+.*)?$ ]] ||
  { echo "update_model.sh: expected MODEL or MODEL@1.2.3, got '$what'" >&2; exit 2; }
verge=${VERGE:-$(command -v verge || echo "$(dirname "$(readlink -f "$0")")/../../build/dev/bin/verge")}
[ -x "$verge" ] || { echo "update_model.sh: expected the program 'verge' on PATH or in VERGE, got none; build or install it" >&2; exit 3; }
exec "$verge" deploy "$what" --to "$selector" "$@"
