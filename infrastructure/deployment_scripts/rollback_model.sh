#!/usr/bin/env bash
# Goes back: the devices that match run their previous version of the model again; or a whole deployment is undone.
#   rollback_model.sh MODEL SELECTOR
#   rollback_model.sh DEPLOYMENT
#   rollback_model.sh efficientnet_lite0 site=plant1
# Exit status 0: every device is back.
set -euo pipefail
usage() { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ $# -ge 1 ] && [ $# -le 2 ] && [ "${1:0:1}" != - ] || usage
verge=${VERGE:-$(command -v verge || echo "$(dirname "$(readlink -f "$0")")/../../build/dev/bin/verge")}
[ -x "$verge" ] || { echo "rollback_model.sh: expected the program 'verge' on PATH or in VERGE, got none; build or install it" >&2; exit 3; }
if [ $# -eq 1 ]; then exec "$verge" rollback "$1"; fi
exec "$verge" rollback "$1" --to "$2"
