#!/bin/sh
# Downloads a source package of a Debian release into the current folder: fetch_debian_source.sh SUITE PACKAGE
# Uses the mirror, proxy and keys this machine's apt is set up with, whatever release it runs; changes nothing in them.
set -eu
suite=$1
package=$2
apt=$(mktemp -d)
trap 'rm -rf "$apt"' EXIT
mkdir -p "$apt/lists/partial" "$apt/cache"
set -- -qq -o Dir::State::Lists="$apt/lists" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User=

# shellcheck disable=SC2016  # apt's variable
mirror() { apt-get "$@" indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | head -n 1; }
uri=$(mirror)
if [ -z "$uri" ]; then  # no package lists here, as in images that drop them: get some for ourselves
  apt-get "$@" update
  uri=$(mirror "$@")
fi
if [ -z "$uri" ]; then
  echo "apt knows no Debian mirror" >&2
  exit 1
fi

echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite main" >"$apt/sources.list"
set -- "$@" -o Dir::Etc::SourceList="$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
apt-get "$@" update
apt-get "$@" source --download-only "$package"
