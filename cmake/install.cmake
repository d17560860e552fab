# Installs the library, its headers and the packages that find_package(lutra) and pkg-config find.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/lutra)
configure_package_config_file(cmake/lutraConfig.cmake.in lutraConfig.cmake INSTALL_DESTINATION ${package_dir})
# Before 1.0 a minor version may change the API.
write_basic_package_version_file(lutraConfigVersion.cmake COMPATIBILITY SameMinorVersion)

install(TARGETS lutra EXPORT lutraTargets)
install(EXPORT lutraTargets NAMESPACE lutra:: DESTINATION ${package_dir})
install(FILES
  ${CMAKE_CURRENT_BINARY_DIR}/lutraConfig.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/lutraConfigVersion.cmake
  DESTINATION ${package_dir})
install(DIRECTORY include/lutra TYPE INCLUDE)
install(FILES LICENSE CHANGELOG.md TYPE DOC)

# For other build systems. Its paths are relative to where it is, so that an installation can be moved.
set(pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH pkgconfig_to_prefix ${CMAKE_INSTALL_PREFIX}/${pkgconfig_dir} ${CMAKE_INSTALL_PREFIX})
if(hwy_FOUND)
  set(lutra_pc_requires libhwy)
endif()
# What a C compiler would not link by itself.
set(lutra_pc_libs ${CMAKE_THREAD_LIBS_INIT})
foreach(library IN LISTS CMAKE_CXX_IMPLICIT_LINK_LIBRARIES)
  if(library MATCHES "^(stdc\\+\\+|c\\+\\+|c\\+\\+abi|m)$")
    string(APPEND lutra_pc_libs " -l${library}")
  endif()
endforeach()
configure_file(cmake/lutra.pc.in lutra.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/lutra.pc DESTINATION ${pkgconfig_dir})
