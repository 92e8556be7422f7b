/* GradStreamer: reading safetensors files
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradsafetensors-private.h"
#include "gradjson-private.h"
#include "../gradfile-private.h"

#include <stdlib.h>
#include <string.h>

#if G_BYTE_ORDER != G_LITTLE_ENDIAN
#error "values of model files are used as they are, which needs a little-endian machine"
#endif

#define MAX_HEADER (16 << 20)
#define FIELDS "before it dtype, shape and two data_offsets, each once"

typedef struct
{
  const gchar *key, *value;
} Pair;

struct _GradSafetensors
{
  GObject parent;

  GBytes *bytes;
  gchar *header;                /* all names and strings live in here */
  GArray *entries;              /* of GradSafetensorsEntry, in the order of their data */
  GPtrArray *by_name;           /* sorted: hostile names cannot slow down a binary search */
  GArray *metadata;             /* of Pair, sorted by key */
};

G_DEFINE_FINAL_TYPE (GradSafetensors, grad_safetensors, G_TYPE_OBJECT);

static const struct
{
  const gchar *name;
  gsize size;
} dtypes[] = {
  {"BOOL", 1}, {"U8", 1}, {"I8", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"F8_E8M0", 1},
  {"F8_E4M3FNUZ", 1}, {"F8_E5M2FNUZ", 1}, {"I16", 2}, {"U16", 2}, {"F16", 2}, {"BF16", 2},
  {"I32", 4}, {"U32", 4}, {"F32", 4}, {"F64", 8}, {"I64", 8}, {"U64", 8}, {"C64", 8},
};

const gchar *
grad_safetensors_dtype (const gchar * dtype, gsize * size)
{
  for (guint i = 0; i < G_N_ELEMENTS (dtypes); i++)
    if (g_str_equal (dtype, dtypes[i].name)) {
      *size = dtypes[i].size;
      return dtypes[i].name;
    }
  return NULL;
}

gboolean
grad_safetensors_size (const GradSafetensorsEntry * entry, gsize * size)
{
  if (grad_safetensors_dtype (entry->dtype, size) == NULL)
    return FALSE;
  for (guint i = 0; i < entry->rank; i++)
    if (entry->dims[i] < 0 || !g_size_checked_mul (size, *size, entry->dims[i]))
      return FALSE;
  return TRUE;
}

static gint
compare_data (gconstpointer a, gconstpointer b)
{
  const GradSafetensorsEntry *x = a, *y = b;

  if (x->data != y->data)
    return x->data < y->data ? -1 : 1;
  return (x->size > y->size) - (x->size < y->size);     /* empty ones first */
}

static gint
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp ((*(const GradSafetensorsEntry * const *) a)->name,
      (*(const GradSafetensorsEntry * const *) b)->name);
}

static gint
compare_keys (gconstpointer a, gconstpointer b)
{
  return strcmp (((const Pair *) a)->key, ((const Pair *) b)->key);
}

/* Sets "tensor NAME: problem", the name made fit to be shown. */
static gboolean
fail_entry (const GradSafetensorsEntry * entry, const gchar * problem, GError ** error)
{
  g_autofree gchar *start = g_strndup (entry->name, 100);
  g_autofree gchar *name = g_strescape (start, NULL);

  g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE, "tensor %s: %s", name, problem);
  return FALSE;
}

static guint
read_numbers (GradJson * json, gint64 * numbers, guint max)
{
  guint n;

  for (n = 0; grad_json_item (json, "[]", n); n++) {
    if (n == max) {
      grad_json_fail (json, max == 2 ? "two offsets" : "at most 8 dimensions");
      return n;
    }
    numbers[n] = grad_json_uint (json);
  }
  return n;
}

/* {"dtype": "F32", "shape": [64, 3, 7, 7], "data_offsets": [0, 37632]} */
static gboolean
read_entry (GradJson * json, const gchar * name, const guint8 * data, gsize data_size,
    GArray * entries, GError ** error)
{
  GradSafetensorsEntry entry = {.name = name };
  const gchar *dtype = "";
  gint64 offsets[2] = { 0 };
  guint n_offsets = 0, seen[3] = { 0 };
  gsize size;

  for (guint i = 0; grad_json_item (json, "{}", i); i++) {
    const gchar *key = grad_json_key (json);

    if (g_str_equal (key, "dtype") && !seen[0]++)
      dtype = grad_json_string (json);
    else if (g_str_equal (key, "shape") && !seen[1]++)
      entry.rank = read_numbers (json, entry.dims, G_N_ELEMENTS (entry.dims));
    else if (g_str_equal (key, "data_offsets") && !seen[2]++)
      n_offsets = read_numbers (json, offsets, 2);
    else
      grad_json_fail (json, FIELDS);
  }
  if (!seen[0] || !seen[1] || n_offsets != 2)
    grad_json_fail (json, FIELDS);
  if (json->expected != NULL)
    return FALSE;

  entry.dtype = grad_safetensors_dtype (dtype, &size);
  if (entry.dtype == NULL)
    return fail_entry (&entry, "its dtype is unknown", error);
  if (offsets[0] > offsets[1] || (guint64) offsets[1] > data_size)
    return fail_entry (&entry, "its data_offsets are out of the file", error);
  entry.data = data + offsets[0];
  entry.size = offsets[1] - offsets[0];
  if (!grad_safetensors_size (&entry, &size) || size != entry.size)
    return fail_entry (&entry, "its shape and its data_offsets do not agree", error);
  g_array_append_val (entries, entry);
  return TRUE;
}

/* {"format": "pt"} */
static void
read_metadata (GradJson * json, GArray * metadata)
{
  for (guint i = 0; grad_json_item (json, "{}", i); i++) {
    Pair pair = {.key = grad_json_key (json) };

    pair.value = grad_json_string (json);
    g_array_append_val (metadata, pair);
  }
}

static gboolean
read_header (GradSafetensors * self, const guint8 * data, gsize data_size, GError ** error)
{
  GradJson json = {.p = self->header };
  guint n_metadata = 0;

  for (guint i = 0; grad_json_item (&json, "{}", i); i++) {
    const gchar *name = grad_json_key (&json);

    if (g_str_equal (name, "__metadata__") && !n_metadata++)
      read_metadata (&json, self->metadata);
    else if (!read_entry (&json, name, data, data_size, self->entries, error))
      break;
  }
  if (*error == NULL && !grad_json_end (&json))
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE, "byte %" G_GSIZE_FORMAT
        " of the header: expected %s", 8 + (gsize) (json.p - self->header), json.expected);
  return *error == NULL;
}

/* Names are unique, and the data of the tensors fill the rest without hole or overlap. */
static gboolean
check_entries (GradSafetensors * self, const guint8 * data, gsize data_size, GError ** error)
{
  const guint8 *end = data;

  g_array_sort (self->metadata, compare_keys);
  for (guint i = 1; i < self->metadata->len; i++)
    if (compare_keys (&g_array_index (self->metadata, Pair, i - 1),
            &g_array_index (self->metadata, Pair, i)) == 0) {
      g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE, "a key of __metadata__ is there twice");
      return FALSE;
    }

  g_array_sort (self->entries, compare_data);
  for (guint i = 0; i < self->entries->len; i++) {
    GradSafetensorsEntry *entry = &g_array_index (self->entries, GradSafetensorsEntry, i);

    if (entry->data != end)
      return fail_entry (entry, "a hole or an overlap before its data", error);
    end += entry->size;
    g_ptr_array_add (self->by_name, entry);
  }
  if (end != data + data_size) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_FILE, "%" G_GSIZE_FORMAT
        " bytes too many after the last tensor", (gsize) (data + data_size - end));
    return FALSE;
  }

  g_ptr_array_sort (self->by_name, compare_names);
  for (guint i = 1; i < self->by_name->len; i++)
    if (compare_names (&self->by_name->pdata[i - 1], &self->by_name->pdata[i]) == 0)
      return fail_entry (self->by_name->pdata[i], "it is there twice", error);
  return TRUE;
}

GradSafetensors *
grad_safetensors_parse (GBytes * bytes, const gchar * name, GError ** error)
{
  g_autoptr (GradSafetensors) self = g_object_new (GRAD_TYPE_SAFETENSORS, NULL);
  g_autoptr (GError) cause = NULL;
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  guint64 header = 0;

  self->bytes = g_bytes_ref (bytes);
  if (size >= 8)
    memcpy (&header, data, 8);
  if (size < 8 || header < 2 || header > size - 8 || header > MAX_HEADER)
    g_set_error (&cause, GRAD_ERROR, GRAD_ERROR_FILE,
        "no safetensors file, or truncated: %" G_GSIZE_FORMAT " bytes, with a header of %"
        G_GUINT64_FORMAT, size, header);
  else if (data[8] != '{' || !g_utf8_validate_len ((const gchar *) data + 8, header, NULL))
    g_set_error (&cause, GRAD_ERROR, GRAD_ERROR_FILE,
        "no safetensors file: the header is no JSON object in UTF-8");
  else {
    self->header = g_strndup ((const gchar *) data + 8, header);
    data += 8 + header;
    size -= 8 + header;
    if (read_header (self, data, size, &cause) && check_entries (self, data, size, &cause))
      return g_steal_pointer (&self);
  }
  g_propagate_prefixed_error (error, g_steal_pointer (&cause), "%s: ", name);
  return NULL;
}

/**
 * grad_safetensors_open:
 * @location: (type filename): the file
 * @error: location of a #GError
 *
 * Maps a file and checks all of its header. Do not change the file in place as long as the object
 * lives; grad_safetensors_write() replaces files, which is safe.
 *
 * Returns: (transfer full) (nullable): the file, or %NULL with %GRAD_ERROR_IO when it cannot be
 *   read and %GRAD_ERROR_FILE when it is no well-formed safetensors file
 */
GradSafetensors *
grad_safetensors_open (const gchar * location, GError ** error)
{
  g_autoptr (GBytes) bytes = grad_file_map (location, error);

  return bytes ? grad_safetensors_parse (bytes, location, error) : NULL;
}

/**
 * grad_safetensors_get_n_entries:
 * @file: a file
 *
 * Returns: number of tensors in it
 */
guint
grad_safetensors_get_n_entries (GradSafetensors * file)
{
  return file->entries->len;
}

/**
 * grad_safetensors_get_entry:
 * @file: a file
 * @index: less than grad_safetensors_get_n_entries()
 *
 * Returns: (transfer none) (nullable): a tensor, in the order of the data, which may be unaligned
 */
const GradSafetensorsEntry *
grad_safetensors_get_entry (GradSafetensors * file, guint index)
{
  g_return_val_if_fail (index < file->entries->len, NULL);
  return &g_array_index (file->entries, GradSafetensorsEntry, index);
}

/**
 * grad_safetensors_find:
 * @file: a file
 * @name: name of a tensor
 *
 * Returns: (transfer none) (nullable): that tensor, or %NULL when there is none
 */
const GradSafetensorsEntry *
grad_safetensors_find (GradSafetensors * file, const gchar * name)
{
  GradSafetensorsEntry wanted = {.name = name };
  const GradSafetensorsEntry *key = &wanted, **found = NULL;

  if (file->by_name->len > 0)
    found = bsearch (&key, file->by_name->pdata, file->by_name->len, sizeof (gpointer),
        compare_names);
  return found ? *found : NULL;
}

/**
 * grad_safetensors_get_metadata:
 * @file: a file
 * @key: a key of `__metadata__`
 *
 * Returns: (transfer none) (nullable): its value, or %NULL when there is none
 */
const gchar *
grad_safetensors_get_metadata (GradSafetensors * file, const gchar * key)
{
  Pair wanted = {.key = key };
  const Pair *found = NULL;

  if (file->metadata->len > 0)
    found = bsearch (&wanted, file->metadata->data, file->metadata->len, sizeof (Pair),
        compare_keys);
  return found ? found->value : NULL;
}

/**
 * grad_safetensors_list_metadata:
 * @file: a file
 *
 * Returns: (transfer full): the keys of its `__metadata__`, sorted
 */
GStrv
grad_safetensors_list_metadata (GradSafetensors * file)
{
  GStrv keys = g_new0 (gchar *, file->metadata->len + 1);

  for (guint i = 0; i < file->metadata->len; i++)
    keys[i] = g_strdup (g_array_index (file->metadata, Pair, i).key);
  return keys;
}

static void
grad_safetensors_finalize (GObject * object)
{
  GradSafetensors *self = GRAD_SAFETENSORS (object);

  g_bytes_unref (self->bytes);
  g_free (self->header);
  g_array_unref (self->entries);
  g_ptr_array_unref (self->by_name);
  g_array_unref (self->metadata);
  G_OBJECT_CLASS (grad_safetensors_parent_class)->finalize (object);
}

static void
grad_safetensors_class_init (GradSafetensorsClass * klass)
{
  G_OBJECT_CLASS (klass)->finalize = grad_safetensors_finalize;
}

static void
grad_safetensors_init (GradSafetensors * self)
{
  self->entries = g_array_new (FALSE, FALSE, sizeof (GradSafetensorsEntry));
  self->by_name = g_ptr_array_new ();
  self->metadata = g_array_new (FALSE, FALSE, sizeof (Pair));
}
