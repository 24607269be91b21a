/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "oci/profile.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define BETWEEN_WORDS " \t\r\n;"
#define KEY "profile="
#define KEY_LENGTH (sizeof(KEY) - 1)

static int take_name(const char *text, size_t length, char name[static OCI_PROFILE_SIZE]) {
        if (!policy_is_profile_name(text, length))
                return -EINVAL;
        memcpy(name, text, length);
        name[length] = '\0';
        return 0;
}

int oci_profile_find(const char *words, char name[static OCI_PROFILE_SIZE]) {
        char found[OCI_PROFILE_SIZE];
        unsigned int count = 0;
        int r = 0;

        if (!words)
                return -ENOENT;
        for (const char *word = words; *word != '\0'; word += strspn(word, BETWEEN_WORDS)) {
                size_t length = strcspn(word, BETWEEN_WORDS);

                if (length >= KEY_LENGTH && memcmp(word, KEY, KEY_LENGTH) == 0) {
                        count++;
                        r = take_name(word + KEY_LENGTH, length - KEY_LENGTH, found);
                }
                word += length;
        }
        if (count == 0)
                return -ENOENT;
        if (count > 1)
                return -EEXIST;
        if (r == 0)
                memcpy(name, found, sizeof(found));
        return r;
}
