/* GradStreamer tests: as much of CUDA's driver as GStreamer's CUDA library uses for memory, on the host
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Memory that GstCuda allocates is host memory, as that of the emulated runtime is. Contexts are told apart, and memory wants one that
 * is current; a thread in which nobody has pushed one is in the primary context, as after cudaSetDevice(). What GstCuda looks up but
 * does not call here says that it is not supported. */
#include <cuda.h>

#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 16
#define PITCH 512

static int primary;
static _Thread_local CUcontext stack[MAX_DEPTH];
static _Thread_local int depth = -1;    /* -1: nobody has pushed or popped */

static void
enter (void)
{
  if (depth < 0)
    stack[0] = (CUcontext) & primary, depth = 1;
}

static CUresult
current (void)
{
  enter ();
  return depth > 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult
cuCtxPushCurrent (CUcontext context)
{
  enter ();
  if (context == NULL || depth == MAX_DEPTH)
    return CUDA_ERROR_INVALID_CONTEXT;
  stack[depth++] = context;
  return CUDA_SUCCESS;
}

CUresult
cuCtxPopCurrent (CUcontext * context)
{
  enter ();
  if (depth == 0)
    return CUDA_ERROR_INVALID_CONTEXT;
  depth--;
  if (context != NULL)
    *context = stack[depth];
  return CUDA_SUCCESS;
}

/* Of that name in all versions that programs were built with: CUDA 13's header means a later one. */
#undef cuCtxCreate
CUresult cuCtxCreate_v2 (CUcontext * context, unsigned flags, CUdevice device);

CUresult
cuCtxCreate_v2 (CUcontext * context, unsigned flags, CUdevice device)
{
  *context = malloc (1);
  return cuCtxPushCurrent (*context);
}

CUresult
cuCtxDestroy (CUcontext context)
{
  free (context);
  return CUDA_SUCCESS;
}

CUresult
cuCtxGetLimit (size_t * value, CUlimit limit)
{
  *value = 1024;
  return current ();
}

CUresult
cuInit (unsigned flags)
{
  return CUDA_SUCCESS;
}

CUresult
cuGetErrorName (CUresult error, const char **text)
{
  *text = "emulated error";
  return CUDA_SUCCESS;
}

CUresult
cuGetErrorString (CUresult error, const char **text)
{
  return cuGetErrorName (error, text);
}

CUresult
cuDeviceGetCount (int *count)
{
  *count = 1;
  return CUDA_SUCCESS;
}

CUresult
cuDeviceGet (CUdevice * device, int index)
{
  *device = index;
  return index == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

CUresult
cuDeviceGetName (char *name, int size, CUdevice device)
{
  strncpy (name, "emulated GPU", size);
  return CUDA_SUCCESS;
}

CUresult
cuDeviceGetAttribute (int *value, CUdevice_attribute attribute, CUdevice device)
{
  *value = attribute == CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT ? PITCH : 0;
  return CUDA_SUCCESS;
}

CUresult
cuDeviceCanAccessPeer (int *can, CUdevice device, CUdevice peer)
{
  *can = 0;
  return CUDA_SUCCESS;
}

CUresult
cuMemAllocPitch (CUdeviceptr * data, size_t * pitch, size_t width, size_t height, unsigned size)
{
  *pitch = (width + PITCH - 1) / PITCH * PITCH;
  *data = (CUdeviceptr) malloc (*pitch * height);
  return current ();
}

CUresult
cuMemAllocHost (void **data, size_t size)
{
  *data = malloc (size);
  return current ();
}

CUresult
cuMemFree (CUdeviceptr data)
{
  free ((void *) data);
  return current ();
}

CUresult
cuMemFreeHost (void *data)
{
  free (data);
  return current ();
}

CUresult
cuMemcpy2D (const CUDA_MEMCPY2D * copy)
{
  const char *from = copy->srcMemoryType == CU_MEMORYTYPE_HOST ? copy->srcHost : (void *) copy->srcDevice;
  char *to = copy->dstMemoryType == CU_MEMORYTYPE_HOST ? copy->dstHost : (void *) copy->dstDevice;

  for (size_t y = 0; y < copy->Height; y++)
    memcpy (to + y * copy->dstPitch, from + y * copy->srcPitch, copy->WidthInBytes);
  return current ();
}

CUresult
cuMemcpy2DAsync (const CUDA_MEMCPY2D * copy, CUstream stream)
{
  return cuMemcpy2D (copy);
}

CUresult
cuStreamCreate (CUstream * stream, unsigned flags)
{
  *stream = malloc (1);
  return current ();
}

CUresult
cuStreamDestroy (CUstream stream)
{
  free (stream);
  return current ();
}

/* before CUDA 4, but it is what GStreamer 1.22 looks up */
#undef cuStreamDestroy
CUresult cuStreamDestroy (CUstream stream);

CUresult
cuStreamDestroy (CUstream stream)
{
  return cuStreamDestroy_v2 (stream);
}

CUresult
cuStreamSynchronize (CUstream stream)
{
  return current ();
}

static CUresult __attribute__ ((used))
unsupported (void)
{
  return CUDA_ERROR_NOT_SUPPORTED;
}

#define UNSUPPORTED(name) __asm__ (".globl " #name "\n.set " #name ", unsupported")
/* *INDENT-OFF* */
UNSUPPORTED (cuCtxDisablePeerAccess);
UNSUPPORTED (cuCtxEnablePeerAccess);
UNSUPPORTED (cuDriverGetVersion);
UNSUPPORTED (cuGLGetDevices_v2);
UNSUPPORTED (cuGraphicsGLRegisterBuffer);
UNSUPPORTED (cuGraphicsGLRegisterImage);
UNSUPPORTED (cuGraphicsMapResources);
UNSUPPORTED (cuGraphicsResourceGetMappedPointer_v2);
UNSUPPORTED (cuGraphicsResourceSetMapFlags_v2);
UNSUPPORTED (cuGraphicsSubResourceGetMappedArray);
UNSUPPORTED (cuGraphicsUnmapResources);
UNSUPPORTED (cuGraphicsUnregisterResource);
UNSUPPORTED (cuLaunchKernel);
UNSUPPORTED (cuMemAlloc_v2);
UNSUPPORTED (cuModuleGetFunction);
UNSUPPORTED (cuModuleLoadData);
UNSUPPORTED (cuModuleUnload);
UNSUPPORTED (cuTexObjectCreate);
UNSUPPORTED (cuTexObjectDestroy);
/* since GStreamer 1.24 or 1.26 */
UNSUPPORTED (cuCtxSetLimit);
UNSUPPORTED (cuCtxSynchronize);
UNSUPPORTED (cuEventCreate);
UNSUPPORTED (cuEventDestroy_v2);
UNSUPPORTED (cuEventRecord);
UNSUPPORTED (cuEventSynchronize);
UNSUPPORTED (cuIpcCloseMemHandle);
UNSUPPORTED (cuIpcGetEventHandle);
UNSUPPORTED (cuIpcGetMemHandle);
UNSUPPORTED (cuIpcOpenEventHandle);
UNSUPPORTED (cuIpcOpenMemHandle);
UNSUPPORTED (cuMemcpyDtoDAsync_v2);
UNSUPPORTED (cuMemcpyDtoD_v2);
UNSUPPORTED (cuMemcpyDtoHAsync_v2);
UNSUPPORTED (cuMemcpyDtoH_v2);
UNSUPPORTED (cuMemcpyHtoDAsync_v2);
UNSUPPORTED (cuMemcpyHtoD_v2);
UNSUPPORTED (cuMemsetD2D16Async);
UNSUPPORTED (cuMemsetD2D16_v2);
UNSUPPORTED (cuMemsetD2D32Async);
UNSUPPORTED (cuMemsetD2D32_v2);
UNSUPPORTED (cuMemsetD2D8Async);
UNSUPPORTED (cuMemsetD2D8_v2);
/* *INDENT-ON* */
