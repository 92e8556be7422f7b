/* GradStreamer kernels: what differs between versions 2.6 and 3.x of oneDNN's C API
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/onednn.h"

G_BEGIN_DECLS

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t GradOnednnMd;
typedef const_dnnl_memory_desc_t GradOnednnConstMd;
#else
typedef dnnl_memory_desc_t *GradOnednnMd;
typedef const dnnl_memory_desc_t *GradOnednnConstMd;
#endif

/* NULL is freed too */
dnnl_status_t grad_onednn_memory_desc_new (gint rank, const dnnl_dims_t dims,
    dnnl_data_type_t type, dnnl_format_tag_t tag, GradOnednnMd * md);
void grad_onednn_memory_desc_free (GradOnednnMd md);

dnnl_status_t grad_onednn_append_sum (dnnl_post_ops_t ops);
dnnl_status_t grad_onednn_append_relu (dnnl_post_ops_t ops);

/* md: descriptors of the slots, NULL where the primitive does without */
dnnl_status_t grad_onednn_primitive_desc_new (dnnl_engine_t engine, const GradOnednnDesc * desc,
    const GradOnednnMd md[GRAD_ONEDNN_N_SLOTS], dnnl_primitive_attr_t attr,
    const_dnnl_primitive_desc_t forward, dnnl_primitive_desc_t * pd);

G_END_DECLS
