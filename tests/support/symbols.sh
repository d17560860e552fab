#!/bin/sh
# The C++ names that a static library defines for others hold the version, so that two versions can be linked into one
# program: symbols.sh LIBRARY VERSION, as in lutra::VERSION::Pack
set -eu
names=$(${NM:-nm} --defined-only --extern-only --demangle "$1" | sed -nE 's/^[0-9a-f]+ [A-Z] //p')
echo "$names" | grep -q "^lutra::$2::Pack(" || { echo "lutra::$2::Pack is not defined"; exit 1; }
if echo "$names" | grep -E '(^|[^:a-z_])lutra::' | grep -Ev "^([^(]*[^:a-z_])?lutra::$2::"; then
  echo "should hold the version"
  exit 1
fi
