/* GradStreamer tests: data files that are not what they should be give one clear error each
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "tests/pipelineutil.h"

typedef struct
{
  const gchar *name;
  const gchar *bytes;
  gsize size;
  const gchar *text;            /* in the error, beside the name of the file */
} BadFile;

#define BYTES(s) s, sizeof s - 1

/* In the place of the pictures */
static const BadFile pictures[] = {
  {"empty", BYTES (""), "empty"},
  {"short", BYTES ("\0\0\x8"), ""},
  {"magic", BYTES ("\1\2\3\4\0\0\0\1\0\0\0\1\0\0\0\1x"), ""},
  {"type", BYTES ("\0\0\xd\3\0\0\0\1\0\0\0\1\0\0\0\1xxxx"), ""},
  {"labels", BYTES ("\0\0\x8\1\0\0\0\1x"), "labels"},
  {"no-pictures", BYTES ("\0\0\x8\3\0\0\0\0\0\0\0\1\0\0\0\1"), ""},
  {"truncated", BYTES ("\0\0\x8\3\0\0\0\2\0\0\0\1\0\0\0\1x"), ""},
  {"too-long", BYTES ("\0\0\x8\3\0\0\0\1\0\0\0\1\0\0\0\1xxx"), ""},
  {"overflow", BYTES ("\0\0\x8\3\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xffx"), ""},
  {"wrapped", BYTES ("\0\0\x8\3\x40\0\0\0\0\0\0\4\x40\0\0\0x"), ""},
  {"gz", BYTES ("\x1f\x8b\x8\0\0\0\0\0\0\3\x63\x60"), ""},
  {"gz-garbage", BYTES ("\x1f\x8b\x8\0\0\0\0\0\0\3garbage garbage"), ""},
};

static void
test_pictures (gconstpointer data)
{
  const BadFile *file = data;

  test_write ("bad", file->bytes, file->size);
  test_assert_error ("idxsrc name=source location=bad ! fakesink", "source", "bad", file->text,
      NULL);
  test_assert_error ("idxsrc name=source location=bad labels=train-labels" TEST_NETWORK ("")
      "gradadamsink location=model.safetensors", "source", "bad", NULL);
  test_assert_error ("idxsrc name=source test-location=bad test-labels=test-labels " TEST_DATA
      TEST_NETWORK ("") "gradadamsink location=model.safetensors", "source", "bad", NULL);
  test_assert_files ("bad", NULL);
}

static const struct
{
  const gchar *name, *source, *text1, *text2;
} cases[] = {
  {"missing", "location=nowhere labels=train-labels", "nowhere", "No such file"},
  {"folder", "location=. labels=train-labels", "cannot read", "directory"},
  {"missing-labels", "location=train-images labels=nowhere", "nowhere", "No such file"},
  {"swapped", "location=train-labels labels=train-images", "train-labels", "labels where images belong"},
  {"label-count", "location=train-images labels=test-labels", "37 images", "21 labels"},
  {"test-label-count", TEST_DATA "test-location=test-images test-labels=train-labels",
      "21 images", "37 labels"},
  {"test-size", TEST_DATA "test-location=other-images test-labels=other-labels", "12x12", "6x3"},
};

static void
test_case (gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);
  g_autofree gchar *launch = g_strconcat ("idxsrc name=source ", cases[i].source,
      TEST_NETWORK ("") "gradadamsink location=model.safetensors", NULL);
  const guint32 dims[] = { 1, 3, 6 };

  test_write_idx ("other-images", 3, dims, (const guint8 *) "eighteen bytes ...");
  test_write_idx ("other-labels", 1, dims, (const guint8 *) "");
  test_assert_error (launch, "source", cases[i].text1, cases[i].text2, NULL);
  test_assert_files ("other-images", "other-labels", NULL);
}

int
main (int argc, char **argv)
{
  test_init (&argc, &argv);
  for (guint i = 0; i < G_N_ELEMENTS (pictures); i++) {
    g_autofree gchar *path = g_strconcat ("/badinput/pictures/", pictures[i].name, NULL);

    g_test_add_data_func (path, &pictures[i], test_pictures);
  }
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree gchar *path = g_strconcat ("/badinput/", cases[i].name, NULL);

    g_test_add_data_func (path, GUINT_TO_POINTER (i), test_case);
  }
  return test_run_all ();
}
