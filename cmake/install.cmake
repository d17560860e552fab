# Installs the library, its headers and the package that find_package(lutra) finds.
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
install(FILES LICENSE TYPE DOC)
