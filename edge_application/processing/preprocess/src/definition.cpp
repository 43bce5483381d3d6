// definition
