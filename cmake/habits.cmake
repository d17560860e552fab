# `cmake --build build/release --target format` formats all tracked files; `--target tidy` checks those that changed.
find_program(LUTRA_CLANG_FORMAT clang-format)
find_program(LUTRA_CLANG_TIDY clang-tidy)
mark_as_advanced(LUTRA_CLANG_FORMAT LUTRA_CLANG_TIDY)
if(LUTRA_CLANG_FORMAT)
  add_custom_target(format
    COMMAND sh -c "git ls-files '*.h' '*.c' '*.cc' | xargs \"$@\"" sh ${LUTRA_CLANG_FORMAT} -i
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
    COMMENT "Formatting"
    VERBATIM)
endif()
if(LUTRA_CLANG_TIDY AND CMAKE_EXPORT_COMPILE_COMMANDS)
  add_custom_target(tidy
    COMMAND ${PROJECT_SOURCE_DIR}/cmake/tidy.sh ${PROJECT_BINARY_DIR}
    COMMENT "Checking what differs from origin/main"
    VERBATIM)
endif()
