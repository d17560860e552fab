#!/bin/sh
# The C++ names of a static library hold the version, so that two versions can be linked into one program, and none is of
# another library's namespace: symbols.sh LIBRARY VERSION [NAMESPACE], as in lutra::VERSION::Pack
set -eu
# Without the types of results, with which the names of functions from templates begin: decltype (Zero(...)) lutra::...
names=$(${NM:-nm} --extern-only --demangle "$1" |
  sed -nE 's/^[0-9a-f ]+ [A-Za-z] (decltype \(.*\)\) (lutra::))?/\2/p')
echo "$names" | grep -q "^lutra::$2::functions::Pack(" || { echo "lutra::$2::functions::Pack is not defined"; exit 1; }
if echo "$names" | grep -E '(^|[^:a-z_])lutra::' | grep -Ev "^([^(]*[^:a-z_])?lutra::$2::"; then
  echo "should hold the version"
  exit 1
fi
if [ -n "${3:-}" ] && echo "$names" | grep -E "(^|[^A-Za-z0-9_])$3::"; then
  echo "should not be there"
  exit 1
fi
