/* GradStreamer test: what a network says about a frame
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/gradstreamer.h"

static const gfloat probabilities[] = { 0.125, 0.5, 0.125, 0.25 };
static const gchar *const names[] = { "cat", "dog", NULL };

static GradClassification *
classify (guint top_k, gfloat threshold)
{
  return grad_classification_new (probabilities, 4, names, top_k, threshold, 7, 8, 9);
}

static void
test_order (void)
{
  static const guint expected[] = { 1, 3, 0, 2 };

  for (guint top_k = 0; top_k < 6; top_k++) {
    g_autoptr (GradClassification) c = classify (top_k, 0);

    g_assert_cmpuint (grad_classification_get_n_results (c), ==, MIN (top_k, 4));
    for (guint rank = 0; rank < MIN (top_k, 4); rank++) {
      g_assert_cmpuint (grad_classification_get_index (c, rank), ==, expected[rank]);
      g_assert_cmpfloat (grad_classification_get_probability (c, rank), ==,
          probabilities[expected[rank]]);
    }
  }
}

static void
test_labels (void)
{
  g_autoptr (GradClassification) c = classify (4, 0);

  g_assert_cmpstr (grad_classification_get_label (c, 0), ==, "dog");
  g_assert_cmpstr (grad_classification_get_label (c, 1), ==, "3");
  g_assert_cmpstr (grad_classification_get_label (c, 2), ==, "cat");
}

static void
test_threshold (void)
{
  g_autoptr (GradClassification) some = classify (4, 0.25), none = classify (4, 0.75);

  g_assert_cmpuint (grad_classification_get_n_results (some), ==, 2);
  g_assert_cmpuint (grad_classification_get_n_results (none), ==, 0);
}

static void
test_probabilities (void)
{
  g_autoptr (GradClassification) c = classify (1, 0.25);
  guint n;
  const gfloat *all = grad_classification_get_probabilities (c, &n);

  g_assert_cmpmem (all, n * sizeof (gfloat), probabilities, sizeof probabilities);
}

static void
test_structure (void)
{
  g_autoptr (GradClassification) c = classify (1, 0);
  g_autoptr (GstStructure) s = grad_classification_to_structure (c);
  g_autofree gchar *text = gst_structure_to_string (s);

  g_assert_cmpstr (text, ==, "grad-classification, pts=(guint64)7, latency=(guint64)8, "
      "version=(guint64)9, label=(string)dog, class=(uint)1, probability=(double)0.5, labels=(string)< dog >, classes=(uint)< 1 >, "
      "probabilities=(double)< 0.5 >;");
}

/* A shallow copy, a region and a replacement carry it on. */
static void
test_meta (void)
{
  GradClassification *c = classify (1, 0), *other = classify (2, 0);
  g_autoptr (GstBuffer) buffer = gst_buffer_new_allocate (NULL, 4, NULL), copy, region;

  g_assert_null (grad_buffer_get_classification (buffer));
  grad_buffer_add_classification_meta (buffer, c);
  g_assert_true (grad_buffer_get_classification (buffer) == c);
  copy = gst_buffer_copy (buffer);
  region = gst_buffer_copy_region (buffer, GST_BUFFER_COPY_ALL, 1, 2);
  grad_buffer_add_classification_meta (buffer, other);
  g_assert_true (grad_buffer_get_classification (buffer) == other);
  g_assert_true (grad_buffer_get_classification (copy) == c);
  g_assert_true (grad_buffer_get_classification (region) == c);
  grad_classification_unref (c);
  grad_classification_unref (other);
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/data/classification/order", test_order);
  g_test_add_func ("/data/classification/labels", test_labels);
  g_test_add_func ("/data/classification/threshold", test_threshold);
  g_test_add_func ("/data/classification/probabilities", test_probabilities);
  g_test_add_func ("/data/classification/structure", test_structure);
  g_test_add_func ("/data/classification/meta", test_meta);
  return g_test_run ();
}
