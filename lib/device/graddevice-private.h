/* GradStreamer: the interface that a backend implements
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "graddevice.h"
#include "../tensor/gradtensor-private.h"

G_BEGIN_DECLS

typedef struct _GradKernels GradKernels;        /* kernels/kernels.h */
typedef struct _GradVideoFrame GradVideoFrame;  /* kernels/video/video.h */

typedef enum
{ GRAD_DEVICE_JOBS_NONE, GRAD_DEVICE_JOBS_URGENT, GRAD_DEVICE_JOBS_ALL } GradDeviceJobs;

struct _GradDeviceClass
{
  GObjectClass parent_class;

  /* one op table per kernel family */
  const GradKernels *kernels;

  /* what computes, and its version, for the record: "oneDNN 3.7.0"; (optional) */
  gchar *(*get_library) (GradDevice * device);
  /* opens the device: checks that it exists and does `precision`, may lower `threads` */
  gboolean (*open) (GradDevice * device, GError ** error);
  /* storage of at least size bytes, 64-byte aligned; called by the pool only */
  gpointer (*alloc) (GradDevice * device, gsize size, GError ** error);
  void (*free) (GradDevice * device, gpointer data, gsize size);
  /* bytes of the largest data set that is worth its place on the device, where kernels->gather reads it; (optional): none */
  gsize (*get_data_room) (GradDevice * device);
  /* the layout that activations of this shape have on this device; (optional): plain */
  guint (*activation_layout) (GradDevice * device, GradDType dtype, const GradShape * shape);
  /* the layout that parameters of this shape have, their gradients and moments; (optional): plain */
  guint (*parameter_layout) (GradDevice * device, const GradShape * shape);
  /* bytes of storage */
  gsize (*storage_size) (GradDevice * device, GradDType dtype, const GradShape * shape,
      guint layout);
  /* whether storage of that layout *is* dense host memory of the logical type: maps are free */
  gboolean (*is_host) (GradDevice * device, GradDType dtype, guint layout);
  /* dense host data of the logical type to storage and back; wait for pending work */
  gboolean (*upload) (GradTensor * tensor, gconstpointer dense, GError ** error);
  gboolean (*download) (const GradTensor * tensor, gpointer dense, GError ** error);
  /* download() in two parts, without waiting for what is asked of the device later; (optional): download() never waits.
   * fetch() starts a copy of what the storage has now, end_fetch() waits for it and forgets it; without dense it does not wait */
  gpointer (*fetch) (const GradTensor * tensor, GError ** error);
  gboolean (*is_fetched) (const GradTensor * tensor, gpointer fetch);
  gboolean (*end_fetch) (const GradTensor * tensor, gpointer fetch, gpointer dense, GError ** error);
  const gchar *(*layout_name) (GradDType dtype, guint layout);
  /* waits for all work that is settled; (optional): there is none when a kernel returns */
  gboolean (*finish) (GradDevice * device, GError ** error);
  /* called first in the compute thread, and before each job that runs elsewhere; (optional) */
  void (*enter_thread) (GradDevice * device);
  /* lets whatever is asked for next see the parameter gradients of grad_network_backward(); in a job; (optional): it does anyway */
  gboolean (*settle) (GradDevice * device, GError ** error);
  /* puts what storage the device keeps for itself into the pool; in a job, when memory is short; (optional): none */
  void (*trim) (GradDevice * device);
  /* what the calling thread, in a job, asks for between the first two is recorded instead of done, and replay() does it; see
   * gradrecording.h; (optional) all four. What went wrong meanwhile is not to be kept: end_recording() returns %NULL */
  gboolean (*begin_recording) (GradDevice * device, GError ** error);
  gpointer (*end_recording) (GradDevice * device, gboolean keep, GError ** error);
  gboolean (*replay) (GradDevice * device, gpointer work, GError ** error);
  void (*free_recording) (GradDevice * device, gpointer work);
  /* which jobs run in the thread that asks for them, instead of being handed to the compute thread and back: waking a thread up
   * takes up to 50 us, longer than many a job */
  GradDeviceJobs any_thread;
  /* what elements of others need to share this device, as a GstContext of that type; (optional): %NULL, as when there is
   * nothing of that type to share */
  GstContext *(*share_context) (GradDevice * device, const gchar * type);
  /* kernels->video->convert() of a buffer whose memory is the device's own, without taking it to the host: planes and strides
   * of `frame` are not read. *done: whether the memory was of that kind; (optional): it never is */
  gboolean (*convert_video) (GradDevice * device, GstBuffer * buffer, const GradVideoFrame * frame,
      GradTensor * y, gint n, gboolean * done, GError ** error);
};

/* What has GRAD_API here is for backends, which are modules of their own; no header of it is installed. */

/* Settings as resolved by open(), which may set what they leave open. */
GRAD_API const GradDeviceSettings *grad_device_settings (GradDevice * device);
/* From the environment what they leave open: GRAD_PRECISION, GRAD_THREADS */
gboolean grad_device_settings_complete (GradDeviceSettings * settings, GError ** error);
void grad_device_set_threads (GradDevice * device, guint threads);
GRAD_API void grad_device_set_precision (GradDevice * device, GradPrecision precision);
const GradKernels *grad_device_kernels (GradDevice * device);

/* Storage of its own, for what lasts: in the pool it would take the place of a larger activation for good. */
gpointer grad_device_storage_new (GradDevice * device, gsize size, GError ** error);
void grad_device_storage_free (GradDevice * device, gpointer data, gsize size);
/* Outside of jobs: has the device give up all that it could do without, when it is out of memory. In jobs it does by itself. */
void grad_device_make_room (GradDevice * device);
/* The pool: storage of at least size bytes; *capacity is what to give back. */
GRAD_API gpointer grad_device_pool_get (GradDevice * device, gsize size, gsize * capacity,
    GError ** error);
GRAD_API void grad_device_pool_put (GradDevice * device, gpointer data, gsize capacity);

typedef gboolean (*GradDeviceFunc) (gpointer data, GError ** error);

/* All planning and computing happens in jobs, which take turns: urgent ones (inference) go before the
 * others. Runs one and waits for it: in the device's one compute thread, or in the calling one if
 * the device allows that, or if the caller is a job already. */
gboolean grad_device_call (GradDevice * device, gboolean urgent, GradDeviceFunc func,
    gpointer data, GError ** error);
/* From within a job: runs a part of it in the compute thread. OpenMP teams belong to a thread. */
gboolean grad_device_call_compute_thread (GradDevice * device, GradDeviceFunc func, gpointer data,
    GError ** error);
/* See GradDeviceClass.settle(); in a job or not. */
gboolean grad_device_settle (GradDevice * device, GError ** error);
/* The device whose turn the calling thread has, or NULL */
GradDevice *grad_device_peek_current (void);

/* Backends: the type of a device of that name, and what to try when none was asked for. */
GType grad_backend_find (const gchar * name, GError ** error);
const gchar *const *grad_backend_candidates (void);
/* Types of context that share_context() of some backend knows: for others no device need be opened. */
const gchar *const *grad_backend_context_types (void);
GType grad_ref_device_get_type (void);
GType grad_cpu_device_get_type (void);

G_END_DECLS
