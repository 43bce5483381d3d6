// resampler
