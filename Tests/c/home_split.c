/* SPDX-License-Identifier: Apache-2.0
 *
 * Each way in which a home could split in two, or be somebody else's, ends in a sentence.
 */
#include "home.h"

test("a segment that is gone while others use it is not replaced") {
    struct home h = new_home();
    struct other o = start_other(stay, h.path);
    hear(o.ready[0]);
    char segment[PATH];
    record(h.path, "segment", segment, NULL);
    unlink(segment);
    refuses(h.path, "is gone while other processes are attached");
    equal(end_other(&o), 0);
    bursar_runtime_t *rt = open_home(h.path);
    home_event(rt, "the former one was removed");
    bursar_close(rt);
    done_with(&h);
}

test("a segment in another place than the others' is not used") {
    struct home h = new_home();
    struct other o = start_other(stay, h.path);
    hear(o.ready[0]);
    char segment[PATH], away[PATH + 8];
    record(h.path, "segment", segment, NULL);
    strcpy(away, segment);
    strcat(away, ".away");
    check(rename(segment, away) == 0);
    int fd = open(segment, O_RDWR | O_CREAT, 0600);
    close(fd);
    refuses(h.path, "too short");
    check(rename(away, segment) == 0);
    equal(end_other(&o), 0);
    done_with(&h);
}

/* Opens, has the segment changed at `offset`, and opens again. */
static void corrupted(long offset, const char *words) {
    struct home h = new_home();
    bursar_runtime_t *rt = open_home(h.path);
    bursar_home_info_t info = info_of(rt);
    bursar_close(rt);
    FILE *f = fopen(info.segment_path, "r+");
    fseek(f, offset, SEEK_SET);
    unsigned char byte = (unsigned char)fgetc(f);
    fseek(f, offset, SEEK_SET);
    fputc(byte ^ 0x11, f);
    fclose(f);
    refuses(h.path, words);
    done_with(&h);
}

test("each word that says what a segment is must be right") {
    corrupted(0, "has magic");
    corrupted(8, "has layout");
    corrupted(16, "has segment id");
    corrupted(32, "has size");
    corrupted(40, "has size");
    corrupted(42, "has size");
    corrupted(43, "has sessions_max");
    corrupted(44, "has size");
    corrupted(47, "has reservations_max");
    corrupted(50, "has size");
    corrupted(56, "has home");
    corrupted(90, "has boot");
}

test("a truncated or longer segment is refused") {
    for (int i = 0; i < 3; i++) {
        struct home h = new_home();
        bursar_runtime_t *rt = open_home(h.path);
        bursar_home_info_t info = info_of(rt);
        bursar_close(rt);
        check(truncate(info.segment_path, i == 0 ? 0 : i == 1 ? 4096 : info.segment_bytes + 4096) == 0);
        refuses(h.path, i == 0 ? "too short" : "has size");
        done_with(&h);
    }
}

static void run(const char *command) { check(system(command) == 0); }

test("a copied home is refused, and its record removed makes it a home of its own") {
    struct home h = new_home();
    bursar_runtime_t *rt = open_home(h.path);
    bursar_home_info_t info = info_of(rt);
    char command[PATH * 4], copy[PATH];
    join(copy, h.folder, "copy");
    snprintf(command, sizeof command, "cp -a %s/. %s", h.path, copy);
    check(mkdir(copy, 0700) == 0);
    if (system(command) != 0) run(command); // the ledger took its journal away meanwhile
    refuses(copy, "copied");
    char name[PATH];
    join(name, copy, "home");
    unlink(name);
    bursar_runtime_t *other = open_home(copy);
    bursar_home_info_t theirs = info_of(other);
    check(strcmp(info.id, theirs.id) != 0);
    unlink(theirs.segment_path);
    bursar_close(other);
    bursar_close(rt);
    done_with(&h);
}

test("a lock file that was replaced is refused") {
    struct home h = new_home();
    struct other o = start_other(stay, h.path);
    hear(o.ready[0]);
    char lock[PATH], other[PATH];
    join(lock, h.path, "lock");
    join(other, h.path, "other");
    close(open(other, O_RDWR | O_CREAT, 0600));
    check(rename(other, lock) == 0);
    refuses(h.path, "lock file replaced");
    equal(end_other(&o), 0);
    done_with(&h);
}

test("a record that is gone while others use the home is not replaced") {
    struct home h = new_home();
    struct other o = start_other(stay, h.path);
    hear(o.ready[0]);
    char name[PATH], segment[PATH];
    record(h.path, "segment", segment, NULL);
    join(name, h.path, "home");
    unlink(name);
    refuses(h.path, "close them first");
    equal(end_other(&o), 0);
    unlink(segment);
    done_with(&h);
}

/* A home whose record says that of `key` is refused while others are attached, and gets a
   new segment when nobody is. */
static void foreign(const char *key, const char *value, const char *busy, const char *why) {
    struct home h = new_home();
    struct other o = start_other(stay, h.path);
    hear(o.ready[0]);
    record(h.path, key, NULL, value);
    refuses(h.path, busy);
    equal(end_other(&o), 0);
    bursar_runtime_t *rt = open_home(h.path);
    home_event(rt, why);
    equal(segments_of(info_of(rt).id), 1);
    bursar_close(rt);
    rt = open_home(h.path); /* and from now on it is there */
    bursar_close(rt);
    done_with(&h);
}

test("processes of another library version keep this one out, and alone it begins anew") {
    foreign("layout", "0123456789abcdef", "has layout 0123456789abcdef", "another version of the library");
}

test("another boot's segment is replaced, and one whose processes are attached is another machine's") {
    foreign("boot", "00000000-0000-0000-0000-000000000000", "another machine or boot", "the machine was started anew");
}

test("a record of another format, or a damaged one, is refused") {
    struct home h = new_home();
    bursar_close(open_home(h.path));
    record(h.path, "bursar-home", NULL, "2");
    refuses(h.path, "has format 2; this library knows 1");
    record(h.path, "bursar-home", NULL, "1");
    record(h.path, "lock", NULL, "12 x");
    refuses(h.path, "is malformed in line 3");
    done_with(&h);
}

test("a symbolic link, a file, and a directory of nobody are no homes") {
    struct home h = new_home();
    bursar_close(open_home(h.path));
    char other[PATH], deep[PATH];
    join(other, h.folder, "link");
    check(symlink(h.path, other) == 0);
    refuses(other, "is a symbolic link");
    join(other, h.path, "home");
    refuses(other, "is not a directory");
    join(other, h.folder, "missing");
    join(deep, other, "home");
    refuses(deep, "No such file or directory");
    bursar_open_options_t o = at("~/.bursar");
    refused_as(&o, BURSAR_E_INVALID, "begins with", __FILE__, __LINE__);
    done_with(&h);
}

test("a home or file that others may write is refused") {
    struct home h = new_home();
    bursar_close(open_home(h.path));
    chmod(h.path, 0777);
    refuses(h.path, "has mode 0777");
    chmod(h.path, 0770);
    refuses(h.path, "has mode 0770");
    chmod(h.path, 0700);
    char segment[PATH], lock[PATH];
    record(h.path, "segment", segment, NULL);
    chmod(segment, 0666);
    refuses(h.path, "has mode 0666; 0600 is right");
    chmod(segment, 0600);
    join(lock, h.path, "lock");
    char second[PATH];
    join(second, h.folder, "second");
    check(link(lock, second) == 0);
    refuses(h.path, "has 2 names");
    unlink(second);
    bursar_close(open_home(h.path));
    done_with(&h);
}

static void as_stranger(struct other *o, void *path) {
    hear(o->go[0]);
    check(setgid(65534) == 0 && setuid(65534) == 0);
    refuses(path, "belongs to user 0");
    chmod(path, 0700);
}

static void as_outsider(struct other *o, void *path) {
    hear(o->go[0]);
    check(setgid(65534) == 0 && setuid(65534) == 0);
    refuses(path, "Permission denied");
}

test("another user's home is refused, and root may attach to anybody's") {
    if (geteuid() != 0) {
        puts("SKIPPED: another user's home: only root can become another user");
        return;
    }
    struct home h = new_home();
    chmod(h.folder, 0755);
    bursar_close(open_home(h.path));
    chmod(h.path, 0755);
    struct other o = start_other(as_stranger, h.path);
    say(o.go[1]);
    equal(end_other(&o), 0);
    chmod(h.folder, 0700);
    o = start_other(as_outsider, h.path);
    say(o.go[1]);
    equal(end_other(&o), 0);
    done_with(&h);

    h = new_home();
    check(mkdir(h.path, 0700) == 0 && chown(h.path, 65534, 65534) == 0);
    bursar_runtime_t *rt = open_home(h.path);
    bursar_home_info_t info = info_of(rt);
    struct stat s;
    check(stat(info.segment_path, &s) == 0);
    equal(s.st_uid, 65534);
    const char *names[] = {"home", "lock", "bells"};
    for (int i = 0; i < 3; i++) {
        char path[PATH];
        join(path, h.path, names[i]);
        check(stat(path, &s) == 0);
        equal(s.st_uid, 65534);
    }
    bursar_close(rt);
    done_with(&h);
}

static void use_all_slots(struct other *o, void *path) {
    stay(o, path);
}

test("too many processes is an error with their ids") {
    struct home h = new_home();
    static struct other others[255];
    for (int i = 0; i < 255; i++) others[i] = start_other(use_all_slots, h.path);
    for (int i = 0; i < 255; i++) hear(others[i].ready[0]);
    bursar_open_options_t o = at(h.path);
    refused_as(&o, BURSAR_E_CAPACITY, "255 processes", __FILE__, __LINE__);
    /* One dies: its slot is taken over. */
    kill(others[7].pid, SIGKILL);
    end_other(&others[7]);
    bursar_runtime_t *rt = open_home(h.path);
    equal(info_of(rt).processes, 255);
    bursar_close(rt);
    for (int i = 0; i < 255; i++) {
        if (i != 7) equal(end_other(&others[i]), 0);
    }
    done_with(&h);
}

test("a segment that does not fit is an error with its bytes and the options") {
    struct home h = new_home();
    bursar_open_options_t o = at(h.path);
    o.sessions_max = 16777216;
    o.reservations_max = 524288;
    o.text_bytes_max = 0xFFFF0000u;
    char small[PATH], command[PATH * 2];
    join(small, h.folder, "small");
    mkdir(small, 0700);
    snprintf(command, sizeof command, "mount -t tmpfs -o size=1m none %s 2>/dev/null", small);
    if (geteuid() != 0 || system(command) != 0) {
        puts("SKIPPED: a segment that does not fit: a file system can be mounted by root only, and not everywhere");
        remove_tree(h.folder);
        return;
    }
    o = at(h.path);
    o.shm_dir = text_of(small);
    refused_as(&o, BURSAR_E_MEMORY, "lower sessions_max", __FILE__, __LINE__);
    o.reservations_max = 64;
    o.sessions_max = 16;
    o.text_bytes_max = 65536;
    bursar_runtime_t *rt = NULL;
    need(bursar_open(&o, &rt, NULL), BURSAR_OK);
    bursar_home_info_t info = info_of(rt);
    has(info.segment_path, strlen(info.segment_path), small);
    bursar_close(rt);
    snprintf(command, sizeof command, "umount -l %s", small);
    run(command);
    done_with(&h);
}

test("a read-only file system is named") {
    struct home h = new_home();
    bursar_close(open_home(h.path));
    char command[PATH * 4];
    snprintf(command, sizeof command, "mount --bind %s %s 2>/dev/null && mount -o remount,ro,bind %s 2>/dev/null",
             h.folder, h.folder, h.folder);
    if (geteuid() != 0 || system(command) != 0) {
        puts("SKIPPED: a read-only file system: it can be mounted by root only, and not everywhere");
        done_with(&h);
        return;
    }
    refuses(h.path, "Read-only file system");
    snprintf(command, sizeof command, "umount -l %s", h.folder);
    run(command);
    done_with(&h);
}

test("a larger size than the segment's is told, and the segment stays") {
    struct home h = new_home();
    bursar_close(open_home(h.path));
    bursar_open_options_t o = at(h.path);
    o.sessions_max = 1000000;
    bursar_runtime_t *rt = NULL;
    need(bursar_open(&o, &rt, NULL), BURSAR_OK);
    home_event(rt, "sessions_max is 1000000");
    bursar_close(rt);
    done_with(&h);
}

test("working alone is only for whoever asked for it, and is told") {
    struct home h = new_home();
    struct other other = start_other(stay, h.path);
    hear(other.ready[0]);
    char segment[PATH];
    record(h.path, "segment", segment, NULL);
    unlink(segment);
    for (int way = BURSAR_UNAVAILABLE_PRIVATE; way <= BURSAR_UNAVAILABLE_ALLOW; way++) {
        bursar_open_options_t o = at(h.path);
        o.on_unavailable = way;
        bursar_runtime_t *rt = NULL;
        need(bursar_open(&o, &rt, NULL), BURSAR_OK);
        equal(info_of(rt).flags, 0);
        home_event(rt, "is gone while other processes are attached");
        struct spending s = spending_at(rt, "$0.1");
        equal(dime(&s), BURSAR_OK);
        equal(dime(&s), way == BURSAR_UNAVAILABLE_ALLOW ? BURSAR_OK : BURSAR_E_REFUSED);
        bursar_close(rt);
    }
    bursar_open_options_t o = at(h.path);
    o.on_unavailable = 4;
    refused_as(&o, BURSAR_E_INVALID, "on_unavailable", __FILE__, __LINE__);
    equal(end_other(&other), 0);
    done_with(&h);
}

test("no descriptor is left by opening, forking and closing, and no segment by a kill") {
    struct home h = new_home();
    bursar_runtime_t *first = open_home(h.path);
    int before = 0;
    for (int i = 0; i < 300; i++) {
        if (i == 100) {
            /* What others closed is gone by now, and the first has its ledger open. */
            struct timespec half = {0, 500000000};
            nanosleep(&half, NULL);
            close(before = dup(0));
        }
        bursar_runtime_t *rt = open_home(h.path);
        info_of(rt);
        bursar_close(rt);
    }
    int after = dup(0);
    close(after);
    equal(after, before);
    equal(segments_of(info_of(first).id), 1);
    bursar_close(first);
    done_with(&h);
}
