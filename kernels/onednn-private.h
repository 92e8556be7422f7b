/* GradStreamer kernels: inside of a oneDNN primitive with all that it needs
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/onednn-versions.h"

G_BEGIN_DECLS

typedef struct
{
  dnnl_primitive_t primitive;   /* NULL: nothing to do */
  dnnl_memory_t scratchpad;
} GradOnednnStep;

/* one tensor of a primitive; `inside` is in the primitive's layout and type, `outside` in the
 * tensor's */
typedef struct
{
  gint arg;                     /* DNNL_ARG_…, 0: not there */
  gboolean input, output;
  dnnl_memory_t inside, outside;        /* the latter is NULL where both are the same */
  gboolean converted;           /* they differ in type alone, bfloat16 outside, float inside; else */
  GradOnednnStep load, store;   /* reorders before and after the primitive */
  gsize n_elements;
  gsize inside_offset, sum_offset;      /* of buffers in scratch memory */
} GradOnednnPart;

struct _GradOnednn
{
  GradDevice *device;           /* not owned */
  dnnl_primitive_desc_t pd;
  GradOnednnStep step;
  gsize scratchpad_size, scratch_size;
  GradOnednnPart parts[GRAD_ONEDNN_N_SLOTS];
  gboolean reorders;            /* SRC or DST, and that not for their type */
  guint8 *kept;                 /* reordered WEIGHTS; NULL: they are reordered each time */
  gsize kept_size;
  guint64 kept_version;         /* of the tensor that they were reordered from */
};

/* FALSE with GRAD_ERROR_FAILED; CHECK() names the call and its place */
gboolean grad_onednn_check (dnnl_status_t status, const gchar * call, const gchar * file,
    gint line, GError ** error);
#define CHECK(call) grad_onednn_check (call, #call, __FILE__, __LINE__, error)

/* of the compute thread */
dnnl_stream_t grad_onednn_stream (GError ** error);
/* for all that it runs */
guint8 *grad_onednn_scratch (const GradOnednn * self, GError ** error);

G_END_DECLS
