/* GradStreamer tests: the CUDA runtime as far as we use it, on the host
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The cuda device and its kernels, compiled against this and cuda_runtime.h by the host's compilers, run on machines without
 * a GPU: every index, barrier and shuffle of a kernel, under the address sanitizer if wanted. What it does not
 * show: speed, and races between threads that do not meet at a barrier. "Device memory" is filled with NaN when
 * it is allocated. EMULATED_GPU_MEMORY in the environment limits it (bytes); EMULATED_GPU_MULTIPROCESSORS is what the device
 * says it has, else 4. A stream of the least priority does nothing until somebody waits for it; with EMULATED_GPU_LAZY
 * no stream does, and then that of the least priority is the first. With EMULATED_GPU_IDLE nothing is computed and memory is 0: what is left is what a step costs the host, without
 * the driver's share; what was asked for is counted and said in the end. */
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum
{ cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorMemoryAllocation = 2,
  cudaErrorInsufficientDriver = 35, cudaErrorNoDevice = 100, cudaErrorInvalidDevice = 101,
  cudaErrorNotReady = 600, cudaErrorStreamCaptureUnsupported = 900, cudaErrorStreamCaptureInvalidated = 901,
  cudaErrorStreamCaptureUnjoined = 904
} cudaError_t;
typedef struct EmulatedStream *cudaStream_t;
typedef struct EmulatedEvent *cudaEvent_t;
typedef struct EmulatedGraph *cudaGraph_t;
typedef struct EmulatedWork *cudaGraphExec_t;
enum
{ cudaGraphInstantiateFlagUseNodePriority = 8 };
enum cudaStreamCaptureMode
{ cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal, cudaStreamCaptureModeRelaxed };
enum cudaMemcpyKind
{ cudaMemcpyHostToHost, cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice,
  cudaMemcpyDefault
};
#define cudaStreamNonBlocking 1
#define cudaStreamLegacy ((cudaStream_t) 1)
#define cudaEventDefault 0
#define cudaEventDisableTiming 2

struct cudaDeviceProp
{
  char name[256];
  int major, minor, multiProcessorCount;
  size_t totalGlobalMem;
};

cudaError_t cudaGetDeviceCount (int *count);
cudaError_t cudaGetDeviceProperties (struct cudaDeviceProp *prop, int device);
cudaError_t cudaSetDevice (int device);
cudaError_t cudaGetDevice (int *device);
cudaError_t cudaMemGetInfo (size_t *free, size_t *total);
cudaError_t cudaMalloc (void **data, size_t size);
cudaError_t cudaFree (void *data);
cudaError_t cudaMallocHost (void **data, size_t size);
cudaError_t cudaFreeHost (void *data);
cudaError_t cudaMemcpyAsync (void *to, const void *from, size_t size, enum cudaMemcpyKind kind,
    cudaStream_t stream);
#define CUDART_CB
cudaError_t cudaLaunchHostFunc (cudaStream_t stream, void (*func) (void *), void *data);
cudaError_t cudaMemsetAsync (void *to, int value, size_t size, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags (cudaStream_t * stream, unsigned flags);
cudaError_t cudaStreamCreateWithPriority (cudaStream_t * stream, unsigned flags, int priority);
cudaError_t cudaDeviceGetStreamPriorityRange (int *least, int *greatest);
cudaError_t cudaStreamDestroy (cudaStream_t stream);
cudaError_t cudaStreamSynchronize (cudaStream_t stream);
cudaError_t cudaStreamWaitEvent (cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventCreateWithFlags (cudaEvent_t * event, unsigned flags);
cudaError_t cudaEventDestroy (cudaEvent_t event);
cudaError_t cudaEventRecord (cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventQuery (cudaEvent_t event);
cudaError_t cudaEventSynchronize (cudaEvent_t event);
cudaError_t cudaEventElapsedTime (float *milliseconds, cudaEvent_t from, cudaEvent_t to);
cudaError_t cudaStreamBeginCapture (cudaStream_t stream, enum cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture (cudaStream_t stream, cudaGraph_t * graph);
cudaError_t cudaGraphInstantiateWithFlags (cudaGraphExec_t * work, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphLaunch (cudaGraphExec_t work, cudaStream_t stream);
cudaError_t cudaGraphDestroy (cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy (cudaGraphExec_t work);
cudaError_t cudaGetLastError (void);
const char *cudaGetErrorString (cudaError_t error);

/* For tests, which find it in the module: from now on the GPU is slow, so that copies to the host happen when somebody waits for
 * them, or no longer. Returns how often somebody has waited for one. */
unsigned emulated_slow (int slow);

/* For cuDNN: calls func with a copy of data, of so many bytes, now or whenever what the stream records is repeated. */
void emulated_enqueue_call (cudaStream_t stream, void (*func) (void *data), const void *data, size_t size);

/* Counts it; whether it is not to be done. */
typedef enum
{ EMULATED_KERNEL, EMULATED_PLAN, EMULATED_COPY, EMULATED_GRAPH, EMULATED_N_KINDS } EmulatedKind;
int emulated_idle (EmulatedKind kind);
unsigned long emulated_count (EmulatedKind kind);

#ifdef __cplusplus
}
#endif
