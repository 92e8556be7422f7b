/* Tests of the gradient bus: what it shares, and settings that contradict each other
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/testutil.h"

static void
test_networks (void)
{
  g_autoptr (GradBus) bus = grad_bus_new ();
  g_autoptr (GradNetwork) a = grad_bus_get_network (bus, "a");
  g_autoptr (GradNetwork) again = grad_bus_get_network (bus, "a");
  g_autoptr (GradNetwork) b = grad_bus_get_network (bus, "b");

  g_assert_true (a == again);
  g_assert_true (a != b);
  g_assert_true (grad_network_get_store (a) != grad_network_get_store (b));
  g_assert_cmpstr (grad_network_get_name (b), ==, "b");
}

static void
test_context (void)
{
  g_autoptr (GradBus) bus = grad_bus_new (), found = NULL;
  g_autoptr (GstContext) context = grad_bus_to_context (bus);
  g_autoptr (GstContext) other = gst_context_new ("another", FALSE);

  found = grad_bus_from_context (context);
  g_assert_true (found == bus);
  g_assert_null (grad_bus_from_context (other));
  g_assert_true (gst_context_is_persistent (context));  /* an element keeps it in NULL */
}

static gfloat
first_weight (GradBus * bus, const gchar * network_name)
{
  g_autoptr (GradNetwork) network = grad_bus_get_network (bus, network_name);
  g_autoptr (GradDevice) device = test_device ("ref");
  g_autofree gfloat *values = NULL;
  GradParameter *p = grad_parameter_store_add (grad_network_get_store (network), device,
      "fc.weight", GRAD_PARAMETER_TRAINABLE, &GRAD_SHAPE (2, 3), GRAD_INIT_UNIFORM_FAN_IN, 3, NULL);

  values = test_download (p->value);
  return values[0];
}

/* The seed reaches networks that are there and those to come; a second one contradicts. */
static void
test_seed (void)
{
  g_autoptr (GradBus) bus = grad_bus_new (), other = grad_bus_new ();
  g_autoptr (GradNetwork) before = grad_bus_get_network (bus, "before");
  g_autoptr (GError) error = NULL;

  g_assert_cmpuint (grad_bus_get_seed (bus), ==, 0);
  g_assert_true (grad_bus_set_seed (bus, 7, &error));
  g_assert_true (grad_bus_set_seed (bus, 7, &error));
  g_assert_false (grad_bus_set_seed (bus, 8, &error));
  g_assert_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS);
  g_assert_nonnull (strstr (error->message, "seed=8 contradicts seed=7"));
  g_assert_cmpuint (grad_bus_get_seed (bus), ==, 7);
  g_assert_cmpfloat (first_weight (bus, "before"), ==, first_weight (bus, "after"));
  g_assert_true (grad_bus_set_seed (other, 8, NULL));
  g_assert_cmpfloat (first_weight (bus, "before"), !=, first_weight (other, "after"));
}

static void
test_settings (void)
{
  static const struct
  {
    GradDeviceSettings settings;
    const gchar *what;
  } bad[] = {
    {{.name = "cpu"}, "device"},
    {{.precision = GRAD_PRECISION_BF16}, "precision"},
    {{.threads = 2}, "number of threads"},
    {{.name = "ref",.threads = 3}, "number of threads"},
  };
  g_autoptr (GradBus) bus = grad_bus_new ();
  g_autoptr (GradDevice) device = NULL, again = NULL;
  g_autofree gchar *name = g_strdup ("ref");
  GradDeviceSettings good[] = {
    {NULL}, {.name = name}, {.threads = 1}, {.precision = GRAD_PRECISION_AUTO}, {.precision = GRAD_PRECISION_F32},
    {.precision = GRAD_PRECISION_AUTO}, {.name = "ref"},
    {.name = "ref",.precision = GRAD_PRECISION_F32,.threads = 1}, {NULL}
  };

  for (guint i = 0; i < G_N_ELEMENTS (good); i++) {
    g_autoptr (GError) error = NULL;

    grad_bus_add_settings (bus, &good[i], &error);
    g_assert_no_error (error);
  }
  name[0] = 'x';                /* the bus has its own copy */
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GError) error = NULL;

    g_assert_false (grad_bus_add_settings (bus, &bad[i].settings, &error));
    g_assert_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS);
    g_assert_nonnull (strstr (error->message, bad[i].what));
  }
  device = grad_bus_get_device (bus, NULL);
  again = grad_bus_get_device (bus, NULL);
  g_assert_true (device == again);
  g_assert_cmpstr (grad_device_get_name (device), ==, "ref");
  g_assert_cmpuint (grad_device_get_threads (device), ==, 1);
}

/* Wishes that come when the device is open already are refused unless it fulfils them. */
static void
test_late_settings (void)
{
  g_autoptr (GradBus) bus = grad_bus_new ();
  g_autoptr (GradDevice) device = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (grad_bus_add_settings (bus, &(GradDeviceSettings) {.name = "ref"}, NULL));
  device = grad_bus_get_device (bus, NULL);
  g_assert_true (grad_bus_add_settings (bus, &(GradDeviceSettings) {.name = "ref"}, NULL));
  g_assert_true (grad_bus_add_settings (bus, &(GradDeviceSettings) {.threads = 1}, NULL));
  g_assert_false (grad_bus_add_settings (bus, &(GradDeviceSettings) {.threads = 5}, &error));
  g_assert_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS);
}

static void
test_missing_device (void)
{
  g_autoptr (GradBus) bus = grad_bus_new ();
  g_autoptr (GError) error = NULL;

  g_assert_true (grad_bus_add_settings (bus, &(GradDeviceSettings) {.name = "abacus"}, NULL));
  g_assert_null (grad_bus_get_device (bus, &error));
  g_assert_error (error, GRAD_ERROR, GRAD_ERROR_DEVICE);
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/gradbus/networks", test_networks);
  g_test_add_func ("/gradbus/context", test_context);
  g_test_add_func ("/gradbus/seed", test_seed);
  g_test_add_func ("/gradbus/settings", test_settings);
  g_test_add_func ("/gradbus/late-settings", test_late_settings);
  g_test_add_func ("/gradbus/missing-device", test_missing_device);
  return g_test_run ();
}
