#!/bin/sh
# Shows Doxygen a header with comments of its own kind: doxygen_comments.sh HEADER. The first comment is about the file;
# a comment behind code is about that code, any other about what follows. The namespace of the version is left out.
exec sed -E \
  -e '1s,^// (.*),/// \\file\n/// \1,' \
  -e '2,$s,^( *)//( |$),\1///\2,' \
  -e 's,([^ /:].*[^ /:]) +// ,\1  ///< ,' \
  -e '/namespace LUTRA_ABI_NAMESPACE/s,.*,,' "$1"
