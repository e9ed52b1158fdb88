# Compilations are cached where ccache is installed.
find_program(FLEETUNE_CCACHE ccache)
if(FLEETUNE_CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER "${FLEETUNE_CCACHE}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${FLEETUNE_CCACHE}")
endif()
