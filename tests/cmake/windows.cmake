# unit: for Windows, the tests of what depends on the system and of all kernels, run under Wine (preset
# windows). GoogleTest is compiled from Debian's sources.
set(BUILD_GMOCK OFF)
set(INSTALL_GTEST OFF)
add_subdirectory(/usr/src/googletest googletest EXCLUDE_FROM_ALL)
include_directories(${CMAKE_CURRENT_SOURCE_DIR})
include(cmake/gtest.cmake)

foreach(name IN ITEMS joint_test packed_file_test plan_test simd_test)
  add_executable(${name} ${name}.cc)
  lutra_compile_options(${name})
  target_link_libraries(${name} PRIVATE lutra::lutra gtest_main)
  lutra_discover_tests(${name} LABEL unit)
endforeach()
lutra_use_highway(simd_test .)
