# `cmake --build build/release --target docs`: the public headers' comments and the README files as HTML; any warning is
# an error.
find_package(Doxygen QUIET)
if(NOT DOXYGEN_FOUND)
  return()
endif()
set(DOXYGEN_USE_MDFILE_AS_MAINPAGE ${PROJECT_SOURCE_DIR}/README.md)
set(DOXYGEN_FILTER_PATTERNS "*.h=${PROJECT_SOURCE_DIR}/cmake/doxygen_comments.sh")
set(DOXYGEN_EXTRACT_ALL YES)
set(DOXYGEN_EXCLUDE_SYMBOLS lutra::internal)
set(DOXYGEN_PREDEFINED LUTRA_API= LUTRA_C_API= LUTRA_C_NOEXCEPT=)
set(DOXYGEN_JAVADOC_AUTOBRIEF YES)
set(DOXYGEN_QUIET YES)
set(DOXYGEN_MACRO_EXPANSION YES)
set(DOXYGEN_WARN_AS_ERROR FAIL_ON_WARNINGS)
file(GLOB headers CONFIGURE_DEPENDS include/lutra/*.h include/lutra/executors/*.h)
set(readmes README.md bench/README.md bench/machine_code.md bench/other_cpus.md examples/README.md examples/weights.md
  examples/ggml/README.md examples/onnxruntime/README.md src/README.md src/methods.md src/recipes.md tests/README.md)
doxygen_add_docs(docs ${headers} ${readmes} CHANGELOG.md COMMENT "Documentation: ${CMAKE_CURRENT_BINARY_DIR}/html/index.html")
