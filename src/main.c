/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/cli.h"

int main(int argc, char **argv) {
        return cli_main(&kernel_interface_native, argc, argv);
}
