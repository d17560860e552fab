# Included before project(): prefers clang++, whose code for the kernels is faster. Whoever names a compiler gets it
# (CMAKE_CXX_COMPILER, a toolchain file, $CXX), and so does a parent project.
if(NOT PROJECT_NAME AND NOT CMAKE_CXX_COMPILER AND NOT CMAKE_TOOLCHAIN_FILE AND NOT DEFINED ENV{CXX})
  find_program(LUTRA_CLANG clang++)
  mark_as_advanced(LUTRA_CLANG)
  if(LUTRA_CLANG)
    set(CMAKE_CXX_COMPILER ${LUTRA_CLANG})
  endif()
endif()
