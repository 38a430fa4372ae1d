# Pruned models in CMake:
#
#   include(Secateur.cmake)
#   secateur_models(models FILE secateur.toml PROFILE edge OUTPUTS out/small.onnx)
#   add_dependencies(my_app models)
#
# The target is always asked; secateur itself knows what is stale, by content. A missed gate fails the build. A target
# `<name>-check` checks what was made and changes nothing.

find_program(SECATEUR_EXECUTABLE secateur)

function(secateur_models name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "FILE;PROFILE" "OUTPUTS")
  if(NOT SECATEUR_EXECUTABLE)
    message(FATAL_ERROR "secateur is not there; `cargo install secateur`, or set SECATEUR_EXECUTABLE")
  endif()
  if(NOT arg_FILE)
    set(arg_FILE secateur.toml)
  endif()
  get_filename_component(file "${arg_FILE}" ABSOLUTE)
  set(outputs "")
  foreach(output IN LISTS arg_OUTPUTS)
    get_filename_component(output "${output}" ABSOLUTE)
    list(APPEND outputs "${output}")
  endforeach()
  add_custom_target(${name} ALL
    COMMAND "${SECATEUR_EXECUTABLE}" build ${arg_PROFILE} --file "${file}"
    BYPRODUCTS ${outputs}
    COMMENT "Pruning the models of ${arg_FILE}"
    VERBATIM)
  add_custom_target(${name}-check
    COMMAND "${SECATEUR_EXECUTABLE}" check ${arg_PROFILE} --file "${file}"
    COMMENT "Checking the models of ${arg_FILE}"
    VERBATIM)
endfunction()
