// postprocessor
