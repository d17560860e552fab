#!/bin/sh
# A shared library exports the public names of namespace lutra, the functions of the C headers and nothing else:
# exports.sh LIBRARY C_HEADER...
set -eu
names=$(nm --dynamic --defined-only --demangle "$1" | cut -d' ' -f3- | sed -E 's/^(vtable|typeinfo|typeinfo name|guard variable) for //; s/^lutra::v[0-9]+_[0-9]+::(functions::)?/lutra::/')
for public in Pack Prepare PrepareRmsNorm PrepareHadamard MatMul MatMulRange SavePacked LoadPacked ImportGguf ImportGptq GgufFile::Parse \
    GgufModel::Open SerialExecutor RunnableTargets; do
  echo "$names" | grep -q "^lutra::$public(" || { echo "lutra::$public is not exported"; exit 1; }
done
shift
functions=$(sed -nE 's/^LUTRA_C_API .*[ *](lutra_[a-z_]+)\(.*/\1/p' "$@" | LC_ALL=C sort)
if [ "$(echo "$names" | grep '^lutra_' | LC_ALL=C sort)" != "$functions" ]; then
  echo "of the C headers should be exported: $functions"
  exit 1
fi
if echo "$names" | grep -Ev '^lutra(::|_)' || echo "$names" | grep -E '^lutra::(internal|N_)'; then
  echo "should not be exported"
  exit 1
fi
