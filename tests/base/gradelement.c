/* Tests of lib/base/gradelement: sharing the device with elements of others, on a device that pretends to have something
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/testutil.h"
#include "lib/base/gradelement.h"

#define SHARED "gst.cuda.context"

static GradDeviceClass *klass;  /* of the reference device */
static gboolean (*really_open) (GradDevice * device, GError ** error);
static gint n_opened;

static gboolean
count_open (GradDevice * device, GError ** error)
{
  n_opened++;
  return really_open (device, error);
}

static GstContext *
share_something (GradDevice * device, const gchar * type)
{
  GstContext *context = gst_context_new (type, TRUE);

  gst_structure_set (gst_context_writable_structure (context), "device", GRAD_TYPE_DEVICE, device, NULL);
  return context;
}

static GstContext *
share_nothing (GradDevice * device, const gchar * type)
{
  return NULL;
}

static GradBus *
bus_for (const gchar * device)
{
  GradBus *bus = grad_bus_new ();

  g_assert_true (grad_bus_add_settings (bus, &(GradDeviceSettings) {.name = device}, NULL));
  n_opened = 0;
  return bus;
}

static gboolean
query (GradBus * bus, const gchar * type)
{
  g_autoptr (GstElement) element = gst_object_ref_sink (gst_bin_new (NULL));
  g_autoptr (GstQuery) query = gst_query_new_context (type);
  GstContext *context = NULL;
  gboolean ok = grad_element_query_context (element, query, bus);

  gst_query_parse_context (query, &context);
  g_assert_true (ok == (context != NULL));
  g_assert_true (!ok || gst_context_has_context_type (context, type));
  return ok;
}

static void
test_query (void)
{
  g_autoptr (GradBus) bus = bus_for ("ref");

  klass->share_context = share_something;
  g_assert_false (query (NULL, SHARED));
  g_assert_true (query (bus, GRAD_BUS_CONTEXT_TYPE));
  g_assert_false (query (bus, "gst.gl.GLDisplay"));
  g_assert_cmpint (n_opened, ==, 0);    /* for nothing of the kind */
  g_assert_true (query (bus, SHARED));
  g_assert_true (query (bus, SHARED));
  g_assert_cmpint (n_opened, ==, 1);
  klass->share_context = share_nothing;
  g_assert_false (query (bus, SHARED));
  klass->share_context = NULL;
  g_assert_false (query (bus, SHARED));
}

/* It is not who asks that has to know. */
static void
test_query_without_device (void)
{
  g_autoptr (GradBus) bus = bus_for ("no-such-device");

  klass->share_context = share_something;
  g_assert_false (query (bus, SHARED));
  g_assert_true (query (bus, GRAD_BUS_CONTEXT_TYPE));
}

/* HAVE_CONTEXT messages when elements open the device */
static guint
count_offers (void)
{
  g_autoptr (GstElement) element = gst_object_ref_sink (gst_bin_new (NULL));
  g_autoptr (GstBus) messages = gst_bus_new ();
  g_autoptr (GradBus) bus = bus_for ("ref");
  GstMessage *message;
  guint n = 0;

  gst_element_set_bus (element, messages);
  for (guint i = 0; i < 3; i++) {
    g_autoptr (GradDevice) device = grad_element_open_device (element, bus, NULL);

    g_assert_nonnull (device);
  }
  while ((message = gst_bus_pop_filtered (messages, GST_MESSAGE_HAVE_CONTEXT))) {
    GstContext *context;

    gst_message_parse_have_context (message, &context);
    n += gst_context_has_context_type (context, SHARED);
    gst_context_unref (context);
    gst_message_unref (message);
  }
  gst_element_set_bus (element, NULL);
  return n;
}

static void
test_offer (void)
{
  klass->share_context = share_something;
  g_assert_cmpuint (count_offers (), ==, 1);
  klass->share_context = share_nothing;
  g_assert_cmpuint (count_offers (), ==, 0);
  klass->share_context = NULL;
  g_assert_cmpuint (count_offers (), ==, 0);
}

int
main (int argc, char **argv)
{
  gint result;

  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  klass = g_type_class_ref (grad_ref_device_get_type ());
  really_open = klass->open;
  klass->open = count_open;
  g_test_add_func ("/element/query", test_query);
  g_test_add_func ("/element/query-without-device", test_query_without_device);
  g_test_add_func ("/element/offer", test_offer);
  result = g_test_run ();
  g_type_class_unref (klass);
  return result;
}
