#!/bin/sh
# Installs the Debian packages that the tests with real clients need, and says so. Argument: ffmpeg,aws
set -eu
missing=""
for tool in $(echo "$1" | tr ',' ' '); do
	case "$tool" in
	ffmpeg) ask=-version ;;
	openssl) ask=version ;;
	*) ask=--version ;;
	esac
	# A name alone proves nothing: it may be a shim that leads nowhere.
	command -v "$tool" >/dev/null 2>&1 && "$tool" "$ask" >/dev/null 2>&1 && continue
	case "$tool" in
	aws) missing="$missing awscli" ;;
	*) missing="$missing $tool" ;;
	esac
done
[ -n "$missing" ] || exit 0
echo "installing from Debian:$missing"
sudo=""
[ "$(id -u)" = 0 ] || sudo=sudo
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
# shellcheck disable=SC2086 # the list is words
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
