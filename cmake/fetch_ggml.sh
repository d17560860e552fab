#!/bin/sh
# Brings the shared libraries of ggml and llama.cpp, and their headers, from npm: fetch_ggml.sh FOLDER [x64|arm64]
# FOLDER gets include/ and lib/. node-llama-cpp has the sources of llama.cpp as a git bundle, another package of the
# same version what was built from them. ggml.lock has the versions and their SHA-512.
set -eu
folder=$1
cpu=${2:-x64}
lock=$(cd "$(dirname "$0")" && pwd)/ggml.lock
if [ -e "$folder/lib" ] && cmp -s "$lock" "$folder/ggml.lock"; then exit 0; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
version=$(sed -n 's/.*node-llama-cpp-\([0-9.]*\)\.tgz$/\1/p' "$lock")
cd "$work"
npm pack --silent "node-llama-cpp@$version" "@node-llama-cpp/linux-$cpu@$version" >/dev/null
sha512sum --check --quiet --ignore-missing "$lock"
mkdir sources libraries
tar -xzf "node-llama-cpp-$version.tgz" -C sources package/llama/gitRelease.bundle
tar -xzf "node-llama-cpp-linux-$cpu-$version.tgz" -C libraries
git -c advice.detachedHead=false clone --quiet sources/package/llama/gitRelease.bundle llama.cpp
cd - >/dev/null

rm -rf "$folder"
mkdir -p "$folder/include"
cp "$work"/llama.cpp/ggml/include/*.h "$work"/llama.cpp/ggml/src/ggml-backend-impl.h "$work"/llama.cpp/include/*.h \
  "$work"/llama.cpp/LICENSE "$folder/include"
cp -r "$work/libraries/package/bins/linux-$cpu" "$folder/lib"
cp "$lock" "$folder/ggml.lock"  # last, so that an interrupted run leaves nothing that looks complete
