/* GradStreamer: shape of a tensor, and the caps that say it
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradshape.h"

#include <string.h>

static const struct
{
  const gchar *name;
  gsize size;
} dtypes[] = {
  [GRAD_DTYPE_UINT8] = {"uint8", 1},
  [GRAD_DTYPE_FLOAT32] = {"float32", 4},
};

/**
 * grad_dtype_size:
 * @dtype: an element type
 *
 * Returns: bytes of one element as maps show it
 */
gsize
grad_dtype_size (GradDType dtype)
{
  return dtypes[dtype].size;
}

/**
 * grad_dtype_to_string:
 * @dtype: an element type
 *
 * Returns: (transfer none): its name in caps
 */
const gchar *
grad_dtype_to_string (GradDType dtype)
{
  return dtypes[dtype].name;
}

/**
 * grad_shape_equal:
 * @a: a shape
 * @b: a shape
 *
 * Returns: whether rank and all sizes are equal
 */
gboolean
grad_shape_equal (const GradShape * a, const GradShape * b)
{
  return a->rank == b->rank
      && memcmp (a->dims, b->dims, a->rank * sizeof (gint)) == 0;
}

/**
 * grad_shape_is_valid:
 * @shape: a shape
 *
 * Returns: whether all sizes are at least 1 and an array of doubles of that shape can exist
 */
gboolean
grad_shape_is_valid (const GradShape * shape)
{
  gsize n = sizeof (gdouble);

  if (shape->rank < 1 || shape->rank > GRAD_MAX_RANK)
    return FALSE;
  for (guint i = 0; i < shape->rank; i++)
    if (shape->dims[i] < 1 || !g_size_checked_mul (&n, n, shape->dims[i]))
      return FALSE;
  return n <= G_MAXSSIZE / 4;   /* room for padding to channel blocks */
}

/**
 * grad_shape_n_elements:
 * @shape: a valid shape
 *
 * Returns: number of elements
 */
gsize
grad_shape_n_elements (const GradShape * shape)
{
  gsize n = 1;

  for (guint i = 0; i < shape->rank; i++)
    n *= shape->dims[i];
  return n;
}

/**
 * grad_shape_to_string:
 * @shape: a shape
 *
 * Returns: (transfer full): "256x1x96x96", outermost first
 */
gchar *
grad_shape_to_string (const GradShape * shape)
{
  GString *s = g_string_new (NULL);

  for (guint i = 0; i < shape->rank; i++)
    g_string_append_printf (s, "%s%d", i ? "x" : "", shape->dims[i]);
  return g_string_free (s, FALSE);
}

/**
 * grad_caps_new:
 * @dtype: element type
 * @shape: shape
 * @fps_n: numerator of the batch rate, 0 for none
 * @fps_d: denominator of the batch rate
 *
 * Returns: (transfer full): fixed caps of one tensor per buffer
 */
GstCaps *
grad_caps_new (GradDType dtype, const GradShape * shape, gint fps_n, gint fps_d)
{
  g_autoptr (GString) dims = g_string_new (NULL);

  for (guint i = shape->rank; i-- > 0;)
    g_string_append_printf (dims, "%d%s", shape->dims[i], i ? ":" : "");
  return gst_caps_new_simple ("other/tensors", "format", G_TYPE_STRING, "static",
      "num_tensors", G_TYPE_INT, 1, "types", G_TYPE_STRING, grad_dtype_to_string (dtype),
      "dimensions", G_TYPE_STRING, dims->str, "framerate", GST_TYPE_FRACTION, fps_n, fps_d, NULL);
}

/* "96:96:1:256", innermost first, to dims[], innermost first. */
static gboolean
parse_dimensions (const gchar * text, guint * n, gint64 dims[16])
{
  for (*n = 0; *n < 16; text++) {
    gchar *end;

    if (!g_ascii_isdigit (*text))
      return FALSE;
    dims[(*n)++] = g_ascii_strtoll (text, &end, 10);
    text = end;
    if (*text == '\0')
      return TRUE;
    if (*text != ':')
      return FALSE;
  }
  return FALSE;
}

/**
 * grad_caps_parse:
 * @caps: fixed caps
 * @rank: the rank that the caller works with: 4 for pictures, 2 for vectors
 * @dtype: (out): element type
 * @shape: (out): shape of that rank
 * @error: location of a #GError
 *
 * Reads tensor caps in any spelling in use: trimmed (outer sizes of 1 left out), padded with 1, or of
 * @rank exactly. A vector written as 1x1 pictures ("1:1:10:256") reads as rank 2, too.
 *
 * Returns: %FALSE with %GRAD_ERROR_SHAPE when the caps are no single tensor or do not fit @rank
 */
gboolean
grad_caps_parse (const GstCaps * caps, guint rank, GradDType * dtype, GradShape * shape,
    GError ** error)
{
  const GstStructure *s = gst_caps_get_structure (caps, 0);
  const gchar *type = gst_structure_get_string (s, "types");
  const gchar *dimensions = gst_structure_get_string (s, "dimensions");
  gint num = 1;
  gint64 dims[16];
  guint n, t;

  gst_structure_get_int (s, "num_tensors", &num);
  for (t = 0; t < G_N_ELEMENTS (dtypes) && g_strcmp0 (type, dtypes[t].name) != 0; t++);
  if (num != 1 || t == G_N_ELEMENTS (dtypes) || dimensions == NULL
      || !parse_dimensions (dimensions, &n, dims)) {
    g_autofree gchar *text = gst_caps_to_string (caps);
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE,
        "expected one tensor of type uint8 or float32 with dimensions, got %s", text);
    return FALSE;
  }

  while (n > rank && dims[n - 1] == 1)  /* padded outside */
    n--;
  if (rank == 2 && n == 4 && dims[0] == 1 && dims[1] == 1) {    /* (N,K,1,1) */
    dims[0] = dims[2], dims[1] = dims[3];
    n = 2;
  }
  while (n < rank)
    dims[n++] = 1;

  *dtype = t;
  shape->rank = rank;
  for (guint i = 0; i < rank; i++)
    shape->dims[i] = dims[rank - 1 - i] <= G_MAXINT ? dims[rank - 1 - i] : 0;
  if (n != rank || !grad_shape_is_valid (shape)) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE,
        "expected a tensor of %u dimensions, got dimensions=%s", rank, dimensions);
    return FALSE;
  }
  return TRUE;
}
