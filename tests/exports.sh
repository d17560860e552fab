#!/bin/sh
# A shared library exports the public names of namespace lutra and nothing else: exports.sh LIBRARY
set -eu
names=$(nm --dynamic --defined-only --demangle "$1" | cut -d' ' -f3- | sed -E 's/^(vtable|typeinfo|typeinfo name|guard variable) for //')
for public in Pack Prepare PrepareRmsNorm MatMul MatMulRange SavePacked LoadPacked SerialExecutor RunnableTargets; do
  echo "$names" | grep -q "^lutra::$public(" || { echo "lutra::$public is not exported"; exit 1; }
done
if echo "$names" | grep -v '^lutra::' || echo "$names" | grep -E '^lutra::(internal|N_)'; then
  echo "should not be exported"
  exit 1
fi
