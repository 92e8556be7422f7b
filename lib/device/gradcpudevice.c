/* GradStreamer: the cpu device: floats or bfloat16 in channel blocks, computed by oneDNN and by loops of our own
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradcpudevice-private.h"
#include "kernels/conv/conv-int8.h"
#include "kernels/cpu.h"
#include "kernels/kernels.h"

#include <oneapi/dnnl/dnnl.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define GRAD_TYPE_CPU_DEVICE (grad_cpu_device_get_type ())
G_DECLARE_FINAL_TYPE (GradCpuDevice, grad_cpu_device, GRAD, CPU_DEVICE, GradDevice)

struct _GradCpuDevice
{
  GradDevice parent;

  GradTeam *team;
  gpointer scratch;             /* from the pool */
  gsize scratch_capacity;
  GThread *crowd;
  GMutex crowded;               /* held as long as the device lives */
};

G_DEFINE_FINAL_TYPE (GradCpuDevice, grad_cpu_device, GRAD_TYPE_DEVICE);

static const GradKernels cpu_kernels = {
  .conv = &grad_conv_cpu_ops,
  .norm = &grad_norm_cpu_ops,
  .pool = &grad_pool_cpu_ops,
  .linear = &grad_linear_cpu_ops,
  .loss = &grad_loss_cpu_ops,
  .optim = &grad_optim_cpu_ops,
  .resize = &grad_resize_cpu_ops,
  .elementwise = &grad_elementwise_cpu_ops,
  .video = &grad_video_cpu_ops,
  .augment = &grad_augment_cpu_ops,
};

#define HUGE_PAGE (2u << 20)

static guint
find_block (void)
{
#if defined (__x86_64__)
  /* what lanes-16.h and lanes-8.h are compiled for */
  if (__builtin_cpu_supports ("avx512f") && __builtin_cpu_supports ("avx512dq")
      && __builtin_cpu_supports ("avx512bw") && __builtin_cpu_supports ("avx512vl")
      && __builtin_cpu_supports ("fma"))
    return 16;
  if (__builtin_cpu_supports ("avx2") && __builtin_cpu_supports ("fma"))
    return 8;
#endif
  return 4;
}

guint
grad_cpu_block (void)
{
  static gsize block;

  if (g_once_init_enter (&block)) {
    const gchar *most = g_getenv ("GRAD_CPU_BLOCK");
    guint found = find_block ();

    while (most && found > 4 && found > g_ascii_strtoull (most, NULL, 10))
      found /= 2;
    g_once_init_leave (&block, found);
  }
  return block;
}

gboolean
grad_cpu_multiplies_bf16 (void)
{
#if defined (__x86_64__)
  return grad_cpu_block () == 16 && __builtin_cpu_supports ("avx512bf16");
#else
  return FALSE;
#endif
}

/* oneDNN's threads are libgomp's, which lets a thread that waits for its team spin for many milliseconds, on a processor that
 * somebody else may need: the rest of the pipeline, or the very thread that it waits for. With two threads and one busy
 * neighbour a step then takes ten times as long. It spins only for some ten microseconds when it has more threads
 * than there are processors. So here are some: a team that sleeps until the device goes. OMP_WAIT_POLICY and
 * GOMP_SPINCOUNT in the environment overrule this. */
static gpointer
crowd_thread (gpointer data)
{
  GradCpuDevice *self = data;
  gint n = MAX (2, omp_get_num_procs () - (gint) grad_device_get_threads (data) + 2);

#pragma omp parallel num_threads(n)
  {
    g_thread_self ();
  }
  g_mutex_lock (&self->crowded);
  g_mutex_unlock (&self->crowded);
  return NULL;
}

static gboolean
grad_cpu_device_open (GradDevice * device, GError ** error)
{
  GradCpuDevice *self = GRAD_CPU_DEVICE (device);
  GradPrecision precision = grad_device_settings (device)->precision;
  g_autoptr (GError) why = NULL;

  if (precision == GRAD_PRECISION_TF32) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED,
        "the cpu device has no tf32, which is for GPUs: use precision=f32, bf16 or auto");
    return FALSE;
  }
  if (precision == GRAD_PRECISION_INT8 && !grad_conv_int8_available ()) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED,
        "precision=int8 needs a processor with VNNI instructions: use f32, bf16 or auto");
    return FALSE;
  }
  if (precision == GRAD_PRECISION_AUTO && grad_cpu_multiplies_bf16 ())
    grad_device_set_precision (device, GRAD_PRECISION_BF16);
  if ((self->team = grad_team_new (grad_device_get_threads (device), &why)) == NULL
      || (self->crowd = g_thread_try_new ("grad-crowd", crowd_thread, device, &why)) == NULL) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_DEVICE, "cannot start %u threads (%s): set threads or "
        "GRAD_THREADS lower", grad_device_get_threads (device), why->message);
    return FALSE;
  }
  return TRUE;
}

GradTeam *
grad_cpu_device_peek_team (GradDevice * device)
{
  return GRAD_CPU_DEVICE (device)->team;
}

GradCpuReorders grad_cpu_reorders;

gpointer
grad_cpu_scratch (GradDevice * device, gsize size, GError ** error)
{
  GradCpuDevice *self = GRAD_CPU_DEVICE (device);

  g_assert (grad_device_peek_current () == device);
  if (self->scratch_capacity < size) {
    if (self->scratch != NULL)
      grad_device_pool_put (device, self->scratch, self->scratch_capacity);
    self->scratch = grad_device_pool_get (device, size, &self->scratch_capacity, error);
    if (self->scratch == NULL)
      self->scratch_capacity = 0;
  }
  return self->scratch;
}

static void
grad_cpu_device_enter_thread (GradDevice * device)
{
  omp_set_dynamic (0);
  omp_set_num_threads (grad_device_get_threads (device));
}

static gpointer
grad_cpu_device_alloc (GradDevice * device, gsize size, GError ** error)
{
  gpointer data = NULL;
  gboolean huge = size >= 2 * HUGE_PAGE;

  if (posix_memalign (&data, huge ? HUGE_PAGE : 64, size) != 0) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_NO_MEMORY,
        "out of memory on cpu: %" G_GSIZE_FORMAT " MB asked for, %" G_GUINT64_FORMAT
        " MB in use: lower batch-size on idxsrc or width/height on gradresize", size >> 20,
        grad_device_get_bytes_allocated (device) >> 20);
    return NULL;
  }
  if (huge)
    madvise (data, size, MADV_HUGEPAGE);
  return data;
}

static void
grad_cpu_device_free (GradDevice * device, gpointer data, gsize size)
{
  free (data);
}

static guint
grad_cpu_device_activation_layout (GradDevice * device, GradDType dtype, const GradShape * shape)
{
  guint block = grad_cpu_block ();
  guint type = grad_device_get_precision (device) == GRAD_PRECISION_BF16 ? GRAD_LAYOUT_BF16 : 0;

  return dtype == GRAD_DTYPE_FLOAT32 && shape->rank == 4 && shape->dims[1] % block == 0
      ? block | type : GRAD_LAYOUT_PLAIN;
}

static guint
grad_cpu_device_parameter_layout (GradDevice * device, const GradShape * shape)
{
  gint block = grad_cpu_block ();

  if (shape->rank != 4 || shape->dims[0] % block != 0 || shape->dims[1] % block != 0)
    return GRAD_LAYOUT_PLAIN;
  return block | GRAD_LAYOUT_OIHW;
}

static gsize
grad_cpu_device_storage_size (GradDevice * device, GradDType dtype, const GradShape * shape,
    guint layout)
{
  return grad_shape_n_elements (shape)
      * (grad_cpu_layout_is_bf16 (layout) ? sizeof (guint16) : grad_dtype_size (dtype));
}

static gboolean
grad_cpu_device_is_host (GradDevice * device, GradDType dtype, guint layout)
{
  return layout == GRAD_LAYOUT_PLAIN;
}

/* (N, C, HW) from and to (N, C/B, HW, B) */
static void
block_channels (const GradTensor * tensor, gfloat * dense, gboolean to_blocked)
{
  gboolean bf16 = grad_cpu_layout_is_bf16 (tensor->layout);
  gsize block = grad_cpu_layout_block (tensor->layout), at = 0;
  gsize hw = (gsize) tensor->shape.dims[2] * tensor->shape.dims[3];
  gsize n_groups = (gsize) tensor->shape.dims[0] * tensor->shape.dims[1] / block;

  for (gsize g = 0; g < n_groups; g++, dense += hw * block)
    for (gsize i = 0; i < hw; i++)
      for (gsize b = 0; b < block; b++, at++)
        if (to_blocked)
          grad_store (tensor->data, at, dense[b * hw + i], bf16);
        else
          dense[b * hw + i] = grad_load (tensor->data, at, bf16);
}

/* (O, I, HW) from and to (O/B, I/B, HW, B of I, B of O) */
static void
block_weights (const GradTensor * tensor, gfloat * dense, gboolean to_blocked)
{
  gsize block = grad_cpu_layout_block (tensor->layout), n_in = tensor->shape.dims[1];
  gsize hw = (gsize) tensor->shape.dims[2] * tensor->shape.dims[3];

  for (gsize o = 0; o < (gsize) tensor->shape.dims[0]; o++)
    for (gsize i = 0; i < n_in; i++, dense += hw)
      for (gsize k = 0; k < hw; k++) {
        gfloat *value = (gfloat *) tensor->data + ((((o / block) * (n_in / block) + i / block) * hw + k) * block
            + i % block) * block + o % block;

        if (to_blocked)
          *value = dense[k];
        else
          dense[k] = *value;
      }
}

static void
reorder (const GradTensor * tensor, gfloat * dense, gboolean to_blocked)
{
  if (tensor->layout & GRAD_LAYOUT_OIHW)
    block_weights (tensor, dense, to_blocked);
  else
    block_channels (tensor, dense, to_blocked);
}

static gboolean
grad_cpu_device_upload (GradTensor * tensor, gconstpointer dense, GError ** error)
{
  if (tensor->layout == GRAD_LAYOUT_PLAIN)
    memcpy (tensor->data, dense, tensor->memory.maxsize);
  else
    reorder (tensor, (gfloat *) dense, TRUE);
  return TRUE;
}

static gboolean
grad_cpu_device_download (const GradTensor * tensor, gpointer dense, GError ** error)
{
  if (tensor->layout == GRAD_LAYOUT_PLAIN)
    memcpy (dense, tensor->data, tensor->memory.maxsize);
  else
    reorder (tensor, dense, FALSE);
  return TRUE;
}

static const gchar *
grad_cpu_device_layout_name (GradDType dtype, guint layout)
{
  switch (layout) {
    case 16:
      return "nChw16c";
    case 8:
      return "nChw8c";
    case 4:
      return "nChw4c";
    case 16 | GRAD_LAYOUT_BF16:
      return "nChw16c-bf16";
    case 8 | GRAD_LAYOUT_BF16:
      return "nChw8c-bf16";
    case 4 | GRAD_LAYOUT_BF16:
      return "nChw4c-bf16";
    case 16 | GRAD_LAYOUT_OIHW:
      return "OIhw16i16o";
    case 8 | GRAD_LAYOUT_OIHW:
      return "OIhw8i8o";
    case 4 | GRAD_LAYOUT_OIHW:
      return "OIhw4i4o";
    default:
      return "plain";
  }
}

static void
grad_cpu_device_dispose (GObject * object)
{
  GradCpuDevice *self = GRAD_CPU_DEVICE (object);

  if (self->scratch != NULL)
    grad_device_pool_put (GRAD_DEVICE (object), g_steal_pointer (&self->scratch),
        self->scratch_capacity);
  G_OBJECT_CLASS (grad_cpu_device_parent_class)->dispose (object);
}

static void
grad_cpu_device_finalize (GObject * object)
{
  GradCpuDevice *self = GRAD_CPU_DEVICE (object);

  g_mutex_unlock (&self->crowded);
  if (self->crowd != NULL)
    g_thread_join (self->crowd);
  g_mutex_clear (&self->crowded);
  g_clear_pointer (&self->team, grad_team_free);
  G_OBJECT_CLASS (grad_cpu_device_parent_class)->finalize (object);
}

static gchar *
grad_cpu_device_get_library (GradDevice * device)
{
  const dnnl_version_t *v = dnnl_version ();

  return g_strdup_printf ("oneDNN %d.%d.%d", v->major, v->minor, v->patch);
}

static void
grad_cpu_device_class_init (GradCpuDeviceClass * klass)
{
  GradDeviceClass *device_class = GRAD_DEVICE_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = grad_cpu_device_dispose;
  G_OBJECT_CLASS (klass)->finalize = grad_cpu_device_finalize;
  device_class->kernels = &cpu_kernels;
  device_class->get_library = grad_cpu_device_get_library;
  device_class->open = grad_cpu_device_open;
  device_class->alloc = grad_cpu_device_alloc;
  device_class->free = grad_cpu_device_free;
  device_class->activation_layout = grad_cpu_device_activation_layout;
  device_class->parameter_layout = grad_cpu_device_parameter_layout;
  device_class->storage_size = grad_cpu_device_storage_size;
  device_class->is_host = grad_cpu_device_is_host;
  device_class->upload = grad_cpu_device_upload;
  device_class->download = grad_cpu_device_download;
  device_class->layout_name = grad_cpu_device_layout_name;
  device_class->enter_thread = grad_cpu_device_enter_thread;
  device_class->any_thread = GRAD_DEVICE_JOBS_URGENT;
}

static void
grad_cpu_device_init (GradCpuDevice * self)
{
  g_mutex_init (&self->crowded);
  g_mutex_lock (&self->crowded);
}
