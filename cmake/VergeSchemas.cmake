# verge_generate_types(<out-var> <schema.json>…): C++ types and checked readers, made from schemas/.
function(verge_generate_types out)
  set(generated)
  file(GLOB_RECURSE all CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/schemas/*.schema.json")  # One may refer to another.
  foreach(schema IN LISTS ARGN)
    get_filename_component(name "${schema}" NAME)
    string(REPLACE ".schema.json" "" name "${name}")
    set(base "${CMAKE_CURRENT_BINARY_DIR}/generated/verge/wire/${name}")
    file(MAKE_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}/generated/verge/wire")
    add_custom_command(
      OUTPUT "${base}.hpp" "${base}.cpp"
      COMMAND "${VERGE_PYTHON}" "${CMAKE_SOURCE_DIR}/schemas/generate_cpp.py" "${schema}" "${base}"
      DEPENDS ${all} "${CMAKE_SOURCE_DIR}/schemas/generate_cpp.py"
      COMMENT "Types from ${name}.schema.json" VERBATIM)
    list(APPEND generated "${base}.cpp" "${base}.hpp")
  endforeach()
  set(${out} ${generated} PARENT_SCOPE)
endfunction()
