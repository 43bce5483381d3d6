// font
