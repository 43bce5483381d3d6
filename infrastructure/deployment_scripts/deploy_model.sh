#!/usr/bin/env bash
# Sends a model package to the hub and deploys it.
#   deploy_model.sh PACKAGE SELECTOR [options of 'verge deploy', such as --watch 30]
#   deploy_model.sh models/efficientnet_lite0 site=plant1
# Exit status 0: every device committed it. Needs 'verge login' before (or VERGE_HUB_LOGIN).
set -euo pipefail
usage() { sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ $# -ge 2 ] && [ "${1:0:1}" != - ] && [ "${2:0:1}" != - ] || usage
package=$1 selector=$2
shift 2
verge=${VERGE:-$(command -v verge || echo "$(dirname "$(readlink -f "$0")")/../../build/dev/bin/verge")}
[ -x "$verge" ] || { echo "deploy_model.sh: expected the program 'verge' on PATH or in VERGE, got none; build or install it" >&2; exit 3; }
[ -e "$package" ] || { echo "deploy_model.sh: expected a package folder, got '$package', which is not there" >&2; exit 3; }

answer=$("$verge" model push "$package" --output json)
field() { sed -nE "s/.*\"$1\": \"([^\"]*)\".*/\1/p" <<<"$answer" | head -n 1; }
model=$(field model) version=$(field version)
echo "pushed $model $version; deploying to $selector" >&2
exec "$verge" deploy "$model@$version" --to "$selector" "$@"
