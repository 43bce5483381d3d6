/*
 * The step ABI: what a custom step written in C or C++ looks like.
 *
 * A plug-in is a shared library in the package (preprocessing/libprepare.so). It exports one function for each step,
 * named by 'function' in preprocessing.yaml or postprocessing.yaml:
 *
 *     extern "C" __attribute__((visibility("default"))) int prepare(verge_step_call* call);
 *
 * It is loaded and called in a confined process: no network, no files but the package's own (the current folder is the
 * package's top), no other processes, limits of time and memory. Calls come one at a time, on one thread.
 *
 * Versions: within a major version structures only grow at their end; `struct_size` tells how much the caller knows.
 */
#ifndef VERGE_DATA_PROCESSING_STEP_ABI_H
#define VERGE_DATA_PROCESSING_STEP_ABI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VERGE_STEP_ABI_MAJOR 1
#define VERGE_STEP_MAX_RANK 8

/* Element types, in the order of the Open Inference Protocol's names: BOOL, UINT8, … */
typedef enum verge_step_datatype {
  VERGE_STEP_BOOL = 0,
  VERGE_STEP_UINT8 = 1,
  VERGE_STEP_UINT16 = 2,
  VERGE_STEP_UINT32 = 3,
  VERGE_STEP_UINT64 = 4,
  VERGE_STEP_INT8 = 5,
  VERGE_STEP_INT16 = 6,
  VERGE_STEP_INT32 = 7,
  VERGE_STEP_INT64 = 8,
  VERGE_STEP_FP16 = 9,
  VERGE_STEP_FP32 = 10,
  VERGE_STEP_FP64 = 11,
  VERGE_STEP_BF16 = 12
} verge_step_datatype;

/* A tensor: row-major, little-endian. */
typedef struct verge_step_tensor {
  const char* name;
  uint32_t datatype; /* verge_step_datatype */
  uint32_t rank;
  int64_t shape[VERGE_STEP_MAX_RANK]; /* Preprocessing: -1 where the model leaves it open, to be set by the step. */
  void* data;                         /* Preprocessing: to be filled. Postprocessing: to be read only. */
  size_t size_bytes;                  /* Preprocessing: room at `data`. Postprocessing: of the content. */
} verge_step_tensor;

typedef struct verge_step_call {
  uint32_t struct_size;
  uint32_t abi_major;
  /* The sample. Preprocessing of pictures: height × width × 3 bytes, red, green, blue; of others: its raw bytes.
   * Postprocessing: no bytes, and the picture's size (0 × 0 for others). */
  const uint8_t* sample;
  size_t sample_size_bytes;
  uint32_t width;
  uint32_t height;
  /* Preprocessing: the model's inputs. Postprocessing: its outputs. */
  verge_step_tensor* tensors;
  uint32_t tensor_count;
  /* Preprocessing leaves these alone. Postprocessing calls answer() once, with a JSON object of `length` bytes: one of
   * Verge's kinds ({"kind":"classes","classes":[{"label":"cat","score":0.9}]}) or any other. */
  void* context;
  void (*answer)(void* context, const char* json, size_t length);
  /* Why the step cannot do its work; then return anything but 0. */
  void (*fail)(void* context, const char* reason);
} verge_step_call;

/* 0: done. Exceptions must not leave it. */
typedef int (*verge_step_function)(verge_step_call* call);

#ifdef __cplusplus
}
#endif

#endif
