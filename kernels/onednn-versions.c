/* GradStreamer kernels: what differs between versions 2.6 and 3.x of oneDNN's C API
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The only file that knows: in 2.x a primitive is described by an operation descriptor and memory
 * descriptors are structs; in 3.x the former are gone and the latter are opaque. */
#include "kernels/onednn-versions.h"

#if DNNL_VERSION_MAJOR >= 3

dnnl_status_t
grad_onednn_memory_desc_new (gint rank, const dnnl_dims_t dims, dnnl_data_type_t type,
    dnnl_format_tag_t tag, GradOnednnMd * md)
{
  return dnnl_memory_desc_create_with_tag (md, rank, dims, type, tag);
}

void
grad_onednn_memory_desc_free (GradOnednnMd md)
{
  if (md != NULL)
    dnnl_memory_desc_destroy (md);
}

dnnl_status_t
grad_onednn_append_sum (dnnl_post_ops_t ops)
{
  return dnnl_post_ops_append_sum (ops, 1, 0, dnnl_data_type_undef);
}

dnnl_status_t
grad_onednn_append_relu (dnnl_post_ops_t ops)
{
  return dnnl_post_ops_append_eltwise (ops, dnnl_eltwise_relu, 0, 0);
}

dnnl_status_t
grad_onednn_primitive_desc_new (dnnl_engine_t engine, const GradOnednnDesc * d,
    const GradOnednnMd md[GRAD_ONEDNN_N_SLOTS], dnnl_primitive_attr_t attr,
    const_dnnl_primitive_desc_t forward, dnnl_primitive_desc_t * pd)
{
  GradOnednnMd src = md[GRAD_ONEDNN_SRC], weights = md[GRAD_ONEDNN_WEIGHTS];
  GradOnednnMd bias = md[GRAD_ONEDNN_BIAS], dst = md[GRAD_ONEDNN_DST];
  dnnl_dims_t s = { d->stride, d->stride }, p = { d->padding, d->padding };
  gboolean data = d->direction == dnnl_backward_data;
  gboolean gradients = d->direction == dnnl_backward_weights;
  dnnl_alg_kind_t alg = d->algorithm;
  dnnl_dims_t dense = { 0, 0 };

  if (d->kind == dnnl_convolution && data)
    return dnnl_convolution_backward_data_primitive_desc_create (pd, engine, alg, src, weights, dst,
        s, dense, p, p, forward, attr);
  if (d->kind == dnnl_convolution && gradients)
    return dnnl_convolution_backward_weights_primitive_desc_create (pd, engine, alg, src, weights,
        bias, dst, s, dense, p, p, forward, attr);
  if (d->kind == dnnl_convolution)
    return dnnl_convolution_forward_primitive_desc_create (pd, engine, d->direction, alg, src,
        weights, bias, dst, s, dense, p, p, attr);
  if (data)
    return dnnl_inner_product_backward_data_primitive_desc_create (pd, engine, src, weights, dst,
        forward, attr);
  if (gradients)
    return dnnl_inner_product_backward_weights_primitive_desc_create (pd, engine, src, weights,
        bias, dst, forward, attr);
  return dnnl_inner_product_forward_primitive_desc_create (pd, engine, d->direction, src, weights,
      bias, dst, attr);
}

#else

dnnl_status_t
grad_onednn_memory_desc_new (gint rank, const dnnl_dims_t dims, dnnl_data_type_t type,
    dnnl_format_tag_t tag, GradOnednnMd * md)
{
  *md = g_new0 (dnnl_memory_desc_t, 1);
  return dnnl_memory_desc_init_by_tag (*md, rank, dims, type, tag);
}

void
grad_onednn_memory_desc_free (GradOnednnMd md)
{
  g_free (md);
}

dnnl_status_t
grad_onednn_append_sum (dnnl_post_ops_t ops)
{
  return dnnl_post_ops_append_sum (ops, 1);
}

dnnl_status_t
grad_onednn_append_relu (dnnl_post_ops_t ops)
{
  return dnnl_post_ops_append_eltwise (ops, 1, dnnl_eltwise_relu, 0, 0);
}

dnnl_status_t
grad_onednn_primitive_desc_new (dnnl_engine_t engine, const GradOnednnDesc * d,
    const GradOnednnMd md[GRAD_ONEDNN_N_SLOTS], dnnl_primitive_attr_t attr,
    const_dnnl_primitive_desc_t forward, dnnl_primitive_desc_t * pd)
{
  GradOnednnMd src = md[GRAD_ONEDNN_SRC], weights = md[GRAD_ONEDNN_WEIGHTS];
  GradOnednnMd bias = md[GRAD_ONEDNN_BIAS], dst = md[GRAD_ONEDNN_DST];
  dnnl_dims_t s = { d->stride, d->stride }, p = { d->padding, d->padding };
  gboolean data = d->direction == dnnl_backward_data;
  gboolean gradients = d->direction == dnnl_backward_weights;
  dnnl_alg_kind_t alg = d->algorithm;
  union
  {
    dnnl_convolution_desc_t convolution;
    dnnl_inner_product_desc_t inner_product;
  } op;
  dnnl_status_t status;

  if (d->kind == dnnl_convolution && data)
    status = dnnl_convolution_backward_data_desc_init (&op.convolution, alg, src, weights, dst, s,
        p, p);
  else if (d->kind == dnnl_convolution && gradients)
    status = dnnl_convolution_backward_weights_desc_init (&op.convolution, alg, src, weights, bias,
        dst, s, p, p);
  else if (d->kind == dnnl_convolution)
    status = dnnl_convolution_forward_desc_init (&op.convolution, d->direction, alg, src, weights,
        bias, dst, s, p, p);
  else if (data)
    status = dnnl_inner_product_backward_data_desc_init (&op.inner_product, src, weights, dst);
  else if (gradients)
    status = dnnl_inner_product_backward_weights_desc_init (&op.inner_product, src, weights, bias,
        dst);
  else
    status = dnnl_inner_product_forward_desc_init (&op.inner_product, d->direction, src, weights,
        bias, dst);
  return status != dnnl_success ? status
      : dnnl_primitive_desc_create (pd, &op, attr, engine, forward);
}

#endif
