# Writes a program's entries of ctest (see gtest.cmake):
# cmake -Dcommand=... -Dlabel=... -Dprefix=... -Dshards=... -Dentries=FILE -P list_tests.cmake
cmake_minimum_required(VERSION 3.25)
list(FILTER command EXCLUDE REGEX "^$")  # an emulator that there is not
execute_process(COMMAND ${command} --gtest_list_tests
  OUTPUT_VARIABLE list RESULT_VARIABLE result TIMEOUT 120)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "${command} --gtest_list_tests: ${result}\n${list}")
endif()
string(REGEX REPLACE " *#[^\n]*" "" list "${list}")  # values of parameters
string(REPLACE "\n" ";" lines "${list}")

foreach(line IN LISTS lines)
  if(line MATCHES "^([^ ]+\\.)$")
    set(suite ${CMAKE_MATCH_1})
  elseif(line MATCHES "^  ([^/]+)(/?)(.*)$")
    set(filter ${suite}${CMAKE_MATCH_1}${CMAKE_MATCH_2})
    set(parameter "${CMAKE_MATCH_3}")
    if(suite MATCHES "^Sweep/")
      # The last part of a parameter's name, the target, is in upper case: int4_g32_f16_offset_AVX3_ZEN4.
      string(REGEX MATCH "_[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$" target "${parameter}")
      if(target STREQUAL "")
        message(FATAL_ERROR "${filter}${parameter} does not end in a target")
      endif()
      string(APPEND filter "*${target}")
    elseif(NOT parameter STREQUAL "")
      string(APPEND filter "*")
    endif()
    list(APPEND filters "${filter}")
    string(MD5 hash "${filter}")
    math(EXPR cases_${hash} "${cases_${hash}} + 1")
  endif()
endforeach()
list(REMOVE_DUPLICATES filters)

set(text "")
foreach(filter IN LISTS filters)
  set(name "[==[${prefix}${filter}]==]")
  string(APPEND text "add_test(${name}")
  foreach(argument IN LISTS command)
    string(APPEND text " [==[${argument}]==]")
  endforeach()
  string(APPEND text " [==[--gtest_filter=${filter}]==])\n"
    "set_tests_properties(${name} PROPERTIES LABELS ${label} FAIL_REGULAR_EXPRESSION \"Running 0 tests\")\n")
  # With `shards` parts, an entry runs one part of its cases. The name decides which, so that sweeps run different parts.
  string(MD5 hash "${filter}")
  if(shards GREATER 1 AND cases_${hash} GREATER_EQUAL shards)
    string(SUBSTRING ${hash} 0 4 digits)
    math(EXPR shard "0x${digits} % ${shards}")
    string(APPEND text "set_tests_properties(${name} PROPERTIES ENVIRONMENT "
      "\"GTEST_TOTAL_SHARDS=${shards};GTEST_SHARD_INDEX=${shard}\")\n")
  endif()
endforeach()
file(WRITE ${entries} "${text}")
