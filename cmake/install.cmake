# Installs the library, its headers and the packages that find_package(lutra) and pkg-config find.
include(CMakePackageConfigHelpers)
# What a C++ compiler links by itself, but a C compiler does not.
set(lutra_cxx_libraries ${CMAKE_CXX_IMPLICIT_LINK_LIBRARIES})
list(FILTER lutra_cxx_libraries INCLUDE REGEX "^(stdc\\+\\+|c\\+\\+|c\\+\\+abi|m)$")
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/lutra)
configure_package_config_file(cmake/lutraConfig.cmake.in lutraConfig.cmake INSTALL_DESTINATION ${package_dir})
# Before 1.0 a minor version may change the API.
write_basic_package_version_file(lutraConfigVersion.cmake COMPATIBILITY SameMinorVersion)

install(TARGETS lutra lutra_kernels EXPORT lutraTargets)
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
list(TRANSFORM lutra_cxx_libraries PREPEND -l OUTPUT_VARIABLE lutra_pc_libs)
list(JOIN lutra_pc_libs " " lutra_pc_libs)
configure_file(cmake/lutra.pc.in lutra.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/lutra.pc DESTINATION ${pkgconfig_dir})
