/* GradStreamer: IDX files
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradidx-private.h"

#include <gio/gio.h>
#include <string.h>

#define MAX_UNPACKED (G_GUINT64_CONSTANT (4) << 30)
#define BLOCK (1 << 20)

static gboolean
fail (GError ** error, const gchar * problem)
{
  g_set_error_literal (error, GRAD_ERROR, GRAD_ERROR_FILE, problem);
  return FALSE;
}

static guint32
read_uint32 (const guint8 * data)
{
  return (guint32) data[0] << 24 | data[1] << 16 | data[2] << 8 | data[3];
}

/* The header: type and rank (0, 0, 8, rank), and the sizes, big-endian. size: of the whole file */
static gboolean
read_header (const guint8 * data, gsize length, guint rank, guint32 * dims, gsize * size,
    GError ** error)
{
  guint32 magic = 0x800 + rank;
  gsize n = 1;

  if (length < 4)
    return fail (error, "no IDX file: shorter than its header");
  if (read_uint32 (data) != magic) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE, "begins with 0x%08x, expected 0x%08x%s",
        read_uint32 (data), magic,
        rank == 3 && read_uint32 (data) == 0x801 ? ": labels where images belong"
        : rank == 1 && read_uint32 (data) == 0x803 ? ": images where labels belong"
        : rank == 3 ? " (IDX of bytes with 3 dimensions: grey pictures)" : " (IDX of bytes with 1 dimension)");
    return FALSE;
  }
  if (length < 4 + 4 * rank)
    return fail (error, "truncated: it ends in its header");
  for (guint i = 0; i < rank; i++) {
    dims[i] = read_uint32 (data + 4 + 4 * i);
    if (dims[i] == 0)
      return fail (error, i == 0 ? "it has no samples" : "its images have no pixels");
    if (dims[i] > G_MAXINT || !g_size_checked_mul (&n, n, dims[i]))
      return fail (error, "its sizes are out of range");
  }
  if (!g_size_checked_add (size, n, 4 + 4 * rank))
    return fail (error, "its sizes are out of range");
  return TRUE;
}

static gboolean
check_size (gsize size, gsize expected, GError ** error)
{
  if (size == expected)
    return TRUE;
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE, size < expected
      ? "truncated: %" G_GSIZE_FORMAT " bytes, expected %" G_GSIZE_FORMAT
      : "more data than its header says: at least %" G_GSIZE_FORMAT " bytes, expected %"
      G_GSIZE_FORMAT, size, expected);
  return FALSE;
}

typedef struct
{
  guint8 *data;
  gsize length, capacity;
} Buffer;

static void
buffer_clear (Buffer * buffer)
{
  g_free (buffer->data);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Buffer, buffer_clear);

/* Unpacks some of in to the end of out, where there must be room. end: of one gzip member */
static gboolean
unpack_some (GConverter * gunzip, const guint8 ** in, gsize * in_length, Buffer * out,
    gboolean * end, GError ** error)
{
  g_autoptr (GError) cause = NULL;
  gsize n_read, n_written;
  GConverterResult result = g_converter_convert (gunzip, *in, MIN (*in_length, BLOCK),
      out->data + out->length, MIN (out->capacity - out->length, BLOCK), G_CONVERTER_NO_FLAGS,
      &n_read, &n_written, &cause);

  if (result == G_CONVERTER_ERROR) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE, "damaged gzip data: %s", cause->message);
    return FALSE;
  }
  *in += n_read;
  *in_length -= n_read;
  out->length += n_written;
  *end = result == G_CONVERTER_FINISHED;
  return TRUE;
}

/* Memory grows with what really comes out, up to one byte more than the header promises. */
static gboolean
unpack (const guint8 * in, gsize in_length, guint rank, guint32 * dims, Buffer * out,
    GError ** error)
{
  g_autoptr (GConverter) gunzip =
      G_CONVERTER (g_zlib_decompressor_new (G_ZLIB_COMPRESSOR_FORMAT_GZIP));
  gsize limit = 4 + 4 * rank;   /* the header first */
  gboolean end = FALSE, has_header = FALSE;

  for (;;) {
    if (out->length == out->capacity) {
      gsize capacity = MIN (MAX (2 * out->capacity, BLOCK), limit + has_header);
      guint8 *data = g_try_realloc (out->data, capacity);

      if (data == NULL)
        return fail (error, "out of memory: unpack it with gunzip");
      out->data = data;
      out->capacity = capacity;
    }
    if (in_length == 0 && !end)
      return fail (error, "truncated: its gzip data are not complete");
    if (!unpack_some (gunzip, &in, &in_length, out, &end, error))
      return FALSE;
    if (!has_header && (out->length == limit || (end && in_length == 0))) {
      if (!read_header (out->data, out->length, rank, dims, &limit, error))
        return FALSE;
      if (limit > MAX_UNPACKED)
        return fail (error, "more than 4 GiB: unpack it with gunzip");
      has_header = TRUE;
    }
    if (out->length > limit || (end && in_length == 0))
      return check_size (out->length, limit, error);
    if (end)                    /* the next member */
      g_converter_reset (gunzip);
  }
}

GBytes *
grad_idx_parse (GBytes * file, const gchar * name, guint rank, guint32 * dims, GError ** error)
{
  g_autoptr (GError) cause = NULL;
  g_auto (Buffer) buffer = { NULL };
  gsize length, size, header = 4 + 4 * rank;
  const guint8 *data = g_bytes_get_data (file, &length);

  if (length >= 2 && data[0] == 0x1f && data[1] == 0x8b) {
    if (unpack (data, length, rank, dims, &buffer, &cause)) {
      g_autoptr (GBytes) all = g_bytes_new_take (g_steal_pointer (&buffer.data), buffer.length);

      return g_bytes_new_from_bytes (all, header, buffer.length - header);
    }
  } else if (read_header (data, length, rank, dims, &size, &cause)
      && check_size (length, size, &cause))
    return g_bytes_new_from_bytes (file, header, length - header);
  g_propagate_prefixed_error (error, g_steal_pointer (&cause), "%s: ", name);
  return NULL;
}
