# Entries of ctest for programs with GoogleTest's main.
#
# An entry runs many cases: gtest_discover_tests starts a process per case, which takes longer than most cases do. There
# is an entry per test, and of a test that sweeps over targets an entry per target. An entry's name is the
# --gtest_filter that it runs, so it ends in the target (`ctest -R _AVX3$`), and that filter, narrowed by hand, runs one
# format, group or qparam scheme. An entry whose filter matches no case fails.
set(LUTRA_TEST_SHARDS 1 CACHE STRING "Into how many parts the cases of an entry of ctest are divided; the entry runs one part")
set(lutra_whole_tests joint_test)  # their entries run all cases

# lutra_discover_tests(program LABEL label [PREFIX prefix]): lists the cases of the program after it is built.
function(lutra_discover_tests program)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "LABEL;PREFIX" "")
  set(script ${PROJECT_SOURCE_DIR}/tests/cmake/list_tests.cmake)
  set(shards ${LUTRA_TEST_SHARDS})
  if(program IN_LIST lutra_whole_tests)
    set(shards 1)
  endif()
  set_property(TARGET ${program} APPEND PROPERTY LINK_DEPENDS ${script})
  set(entries ${CMAKE_CURRENT_BINARY_DIR}/${program}_entries.cmake)
  add_custom_command(TARGET ${program} POST_BUILD BYPRODUCTS ${entries} VERBATIM
    COMMAND ${CMAKE_COMMAND} "-Dcommand=${CMAKE_CROSSCOMPILING_EMULATOR};$<TARGET_FILE:${program}>"
      -Dlabel=${arg_LABEL} -Dprefix=${arg_PREFIX} -Dshards=${shards} -Dentries=${entries} -P ${script})
  set(include ${CMAKE_CURRENT_BINARY_DIR}/${program}_include.cmake)
  file(CONFIGURE OUTPUT ${include} @ONLY CONTENT [[
if(EXISTS "@entries@")
  include("@entries@")
else()
  add_test(@program@_NOT_BUILT @program@_NOT_BUILT)
endif()
]])
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${include})
endfunction()
