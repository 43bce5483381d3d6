/*
 * The engine ABI: what a plug-in gives to Verge so that a model can run in it.
 *
 * A plug-in is a shared library "libverge_engine_<name>.so" that exports one symbol, verge_engine_entry(), and nothing
 * else. It is loaded with RTLD_LOCAL when a model first needs it. The ABI is plain C: no exceptions, no C++ types and
 * no ownership of memory cross it, except through the functions below.
 *
 * Versions: the major number changes when an old host and a new plug-in (or the reverse) cannot work together. Within a
 * major number structures only grow at their end; `struct_size` tells the receiver how much the sender knows. A host
 * calls only functions that lie inside the plug-in's struct_size; a null function pointer means "not supported".
 *
 * Threads: a session may be used by several threads if each uses its own request. A request is used by one thread at a
 * time.
 */
#ifndef VERGE_ENGINES_ABI_H
#define VERGE_ENGINES_ABI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VERGE_ENGINE_ABI_MAJOR 1u
#define VERGE_ENGINE_MAX_RANK 8

/* Status of a call. The message of a failure is written into the caller's verge_engine_error. */
typedef enum verge_engine_status {
  VERGE_ENGINE_OK = 0,
  VERGE_ENGINE_INVALID_ARGUMENT = 1, /* wrong index, shape, type or option */
  VERGE_ENGINE_UNSUPPORTED = 2,      /* the engine cannot read this format, operator or option */
  VERGE_ENGINE_CORRUPT = 3,          /* the model file is damaged */
  VERGE_ENGINE_UNAVAILABLE = 4,      /* the engine's own library or device is not there */
  VERGE_ENGINE_OUT_OF_MEMORY = 5,
  VERGE_ENGINE_CANCELLED = 6,
  VERGE_ENGINE_FAILED = 7 /* anything else inside the engine */
} verge_engine_status;

/* Room for a message, given by the caller; the plug-in writes a terminated UTF-8 text, cut to fit. */
typedef struct verge_engine_error {
  char message[1024];
} verge_engine_error;

typedef enum verge_engine_datatype {
  VERGE_ENGINE_BOOL = 0,
  VERGE_ENGINE_UINT8 = 1,
  VERGE_ENGINE_UINT16 = 2,
  VERGE_ENGINE_UINT32 = 3,
  VERGE_ENGINE_UINT64 = 4,
  VERGE_ENGINE_INT8 = 5,
  VERGE_ENGINE_INT16 = 6,
  VERGE_ENGINE_INT32 = 7,
  VERGE_ENGINE_INT64 = 8,
  VERGE_ENGINE_FP16 = 9,
  VERGE_ENGINE_FP32 = 10,
  VERGE_ENGINE_FP64 = 11,
  VERGE_ENGINE_BF16 = 12,
  VERGE_ENGINE_BYTES = 13
} verge_engine_datatype;

/* Where a buffer lives. Everything but HOST is a handle of the engine's platform in `handle`. */
typedef enum verge_engine_memory {
  VERGE_ENGINE_HOST = 0,
  VERGE_ENGINE_DMA_BUF = 1, /* handle: file descriptor */
  VERGE_ENGINE_OPENCL = 2,  /* handle: cl_mem */
  VERGE_ENGINE_CUDA = 3,    /* handle: device pointer */
  VERGE_ENGINE_VENDOR = 4   /* handle: as the engine's documentation says */
} verge_engine_memory;

/* Smallest arithmetic that may be used for float tensors. */
typedef enum verge_engine_precision {
  VERGE_ENGINE_PRECISION_F32 = 0,
  VERGE_ENGINE_PRECISION_BF16 = 1,
  VERGE_ENGINE_PRECISION_F16 = 2,
  VERGE_ENGINE_PRECISION_AUTO = 3
} verge_engine_precision;

/* Description of a tensor of the model. Strings live as long as the session. */
typedef struct verge_engine_tensor_info {
  size_t struct_size;
  const char* name;
  verge_engine_datatype datatype;
  uint32_t rank;
  int64_t shape[VERGE_ENGINE_MAX_RANK]; /* -1: variable */
  uint8_t is_quantised;                 /* then real = (stored - zero_point) * scale */
  float scale;
  int32_t zero_point;
} verge_engine_tensor_info;

/* A tensor with its content. */
typedef struct verge_engine_tensor {
  size_t struct_size;
  verge_engine_datatype datatype;
  uint32_t rank;
  int64_t shape[VERGE_ENGINE_MAX_RANK];
  verge_engine_memory memory;
  void* data;      /* HOST: first byte, row-major, little-endian; aligned to at least 64 bytes when engine-owned */
  uint64_t handle; /* other memory */
  uint64_t offset; /* bytes into the handle */
  size_t size_bytes;
} verge_engine_tensor;

/* One "key=value" of an engine, for what only this engine knows. An unknown key is refused by name. */
typedef struct verge_engine_option {
  const char* key;
  const char* value;
} verge_engine_option;

/* How to load a model. Strings and arrays need to live only for the call. */
typedef struct verge_engine_load {
  size_t struct_size;
  const char* model_path; /* file, or folder for formats that are folders */
  const char* format;     /* "onnx", "tflite", "tensorflow", "openvino", "fake", … */
  const char* device;     /* "CPU" (also when null), "GPU", "NPU", or a name of the engine's own */
  const char* delegate;   /* null: the engine's default; else for example "xnnpack", "none" */
  uint32_t threads;       /* threads of one inference; 0: the engine's default */
  uint32_t max_requests;  /* requests that will run at the same time; at least 1 */
  verge_engine_precision precision;
  const char* cache_directory; /* null: keep nothing compiled between runs */
  const verge_engine_option* options;
  size_t option_count;
  uint8_t profile; /* since minor 1: 1 when request_profile() will be called; runs may be slower */
} verge_engine_load;

/* What one layer (an operation as the engine runs it) took in a run. Strings live for the call. */
typedef struct verge_engine_layer {
  size_t struct_size;
  const char* name;
  const char* kind; /* "Convolution", as the engine calls it */
  int64_t time_ns;
} verge_engine_layer;

/* Called for each layer by request_profile(). */
typedef void (*verge_engine_each_layer)(void* user_data, const verge_engine_layer* layer);

typedef struct verge_engine_session verge_engine_session;
typedef struct verge_engine_request verge_engine_request;

/* Called once when an asynchronous run has ended, from a thread of the engine, before request_wait() returns. It must
   not block or destroy the request. */
typedef void (*verge_engine_done)(void* user_data, verge_engine_status status, const char* message);

typedef struct verge_engine_api {
  uint32_t abi_major;
  uint32_t abi_minor;
  size_t struct_size;
  const char* name;    /* "openvino" */
  const char* version; /* of the engine's library: "2026.4.0" */
  const char* formats; /* comma-separated, best first: "onnx,tensorflow,tflite,openvino" */

  /* Loads and compiles a model. On success *session must be given to session_destroy. */
  verge_engine_status (*session_create)(const verge_engine_load* load, verge_engine_session** session,
                                        verge_engine_error* error);
  void (*session_destroy)(verge_engine_session* session);
  /* Number and description of the model's tensors, in the model's order. */
  uint32_t (*input_count)(const verge_engine_session* session);
  uint32_t (*output_count)(const verge_engine_session* session);
  verge_engine_status (*input_info)(const verge_engine_session* session, uint32_t index, verge_engine_tensor_info* info,
                                    verge_engine_error* error);
  verge_engine_status (*output_info)(const verge_engine_session* session, uint32_t index,
                                     verge_engine_tensor_info* info, verge_engine_error* error);

  /* A request holds the buffers of one run. It must be destroyed before its session. */
  verge_engine_status (*request_create)(verge_engine_session* session, verge_engine_request** request,
                                        verge_engine_error* error);
  void (*request_destroy)(verge_engine_request* request);

  /* Gives a variable input its shape for the following runs. Null where shapes are fixed. A variable first dimension
     (the batch) begins as 1; an input with another variable dimension has no memory before this call, and
     request_input() returns INVALID_ARGUMENT. */
  verge_engine_status (*request_set_input_shape)(verge_engine_request* request, uint32_t index, const int64_t* shape,
                                                 uint32_t rank, verge_engine_error* error);
  /* The engine's own buffer of an input: the host writes the content there, and nothing is copied. The pointer stays
     valid until the shape changes or the request is destroyed. */
  verge_engine_status (*request_input)(verge_engine_request* request, uint32_t index, verge_engine_tensor* tensor,
                                       verge_engine_error* error);
  /* Content of an output, valid from the end of a run to the start of the next. */
  verge_engine_status (*request_output)(verge_engine_request* request, uint32_t index, verge_engine_tensor* tensor,
                                        verge_engine_error* error);
  /* Uses the host's (or a device's) memory for an input or output from now on, until the shape changes; the memory must
     outlive its use and begin at a multiple of 64 bytes. Null, or UNSUPPORTED for kinds of memory that the engine
     cannot use. */
  verge_engine_status (*request_bind_input)(verge_engine_request* request, uint32_t index,
                                            const verge_engine_tensor* tensor, verge_engine_error* error);
  verge_engine_status (*request_bind_output)(verge_engine_request* request, uint32_t index,
                                             const verge_engine_tensor* tensor, verge_engine_error* error);

  /* Runs and waits. */
  verge_engine_status (*request_run)(verge_engine_request* request, verge_engine_error* error);
  /* Starts a run; `done` is called when it has ended. Null where the engine has only run(). */
  verge_engine_status (*request_start)(verge_engine_request* request, verge_engine_done done, void* user_data,
                                       verge_engine_error* error);
  /* Waits for a started run; returns its status. */
  verge_engine_status (*request_wait)(verge_engine_request* request, verge_engine_error* error);
  /* Asks a started run to end early; it may end normally all the same. */
  verge_engine_status (*request_cancel)(verge_engine_request* request, verge_engine_error* error);

  /* Since minor 1: tells what each layer took in the last run, in the order of execution, layers that were left out not
     included. Null where the engine does not know; INVALID_ARGUMENT unless the model was loaded with `profile`. */
  verge_engine_status (*request_profile)(verge_engine_request* request, verge_engine_each_layer each, void* user_data,
                                         verge_engine_error* error);
} verge_engine_api;

/* The plug-in's table, static for the life of the process; null when `host_abi_major` is not supported. When the
   engine's own library is missing the table is still given, and session_create returns UNAVAILABLE and says why. */
typedef const verge_engine_api* (*verge_engine_entry_function)(uint32_t host_abi_major);

#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const verge_engine_api*
verge_engine_entry(uint32_t host_abi_major);

#ifdef __cplusplus
}
#endif

#endif /* VERGE_ENGINES_ABI_H */
