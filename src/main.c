/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/cli.h"
#include "util/title.h"

int main(int argc, char **argv) {
        title_init(argc, argv);
        return cli_main(&kernel_interface_native, argc, argv);
}
