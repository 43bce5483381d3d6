// preprocessor
