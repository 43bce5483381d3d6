/* The video part: decodes videos and cameras behind plain C, so that its libraries load only when they are needed. */
#ifndef VERGE_PIPELINE_VIDEO_PART_H
#define VERGE_PIPELINE_VIDEO_PART_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct verge_video verge_video;

typedef struct verge_video_picture verge_video_picture; /* memory for one frame */
typedef struct verge_video_writer verge_video_writer;

/* One frame: blue, green, red, 8 bits each; valid until its picture is used again or deleted. */
typedef struct verge_video_frame {
  const uint8_t* data;
  int width;
  int height;
  size_t stride_bytes;
} verge_video_frame;

typedef struct verge_video_part {
  uint32_t version; /* 2 */
  /* `path`: a video file or URL; null: camera `device`, asked for width × height where these are above 0. Null on
     failure, with a terminated text in `message`. */
  verge_video* (*open)(const char* path, int device, int width, int height, char* message, size_t message_size);
  void (*close)(verge_video* video);
  double (*frames_per_second)(const verge_video* video); /* 0: unknown */
  verge_video_picture* (*new_picture)(void);
  void (*delete_picture)(verge_video_picture* picture);
  int (*skip)(verge_video* video); /* 1: at the next frame; 0: the end */
  /* The frame that skip() has come to. 1: it is in `picture`; -1: failed, with `message`. */
  int (*take)(verge_video* video, verge_video_picture* picture, verge_video_frame* frame, char* message,
              size_t message_size);
  int (*rewind)(verge_video* video); /* 1: at the start again */
  /* A video file to write, Motion JPEG for .avi, MPEG-4 otherwise. Null on failure, with `message`. An odd side is
     made even: MPEG-4 wants that. */
  verge_video_writer* (*create)(const char* path, double frames_per_second, int width, int height, char* message,
                                size_t message_size);
  /* A frame of another size is scaled. 1: written; 0: failed */
  int (*write)(verge_video_writer* writer, const verge_video_frame* frame);
  void (*finish)(verge_video_writer* writer);
} verge_video_part;

/* The one symbol of the part. */
typedef const verge_video_part* (*verge_video_part_function)(void);
#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const verge_video_part*
verge_video_part_entry(void);

#ifdef __cplusplus
}
#endif

#endif /* VERGE_PIPELINE_VIDEO_PART_H */
