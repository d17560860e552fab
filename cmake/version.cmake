# Reads the version from the header that shows it to users.
set(header ${CMAKE_CURRENT_LIST_DIR}/../include/lutra/version.h)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${header})
file(STRINGS ${header} lines REGEX "#define LUTRA_VERSION_")
string(REGEX REPLACE ".*MAJOR ([0-9]+).*MINOR ([0-9]+).*PATCH ([0-9]+).*" "\\1.\\2.\\3" lutra_version "${lines}")
