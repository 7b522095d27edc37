/* AppArmor profile and SELinux label: what the process becomes with its next execve(2).
 *
 * Must never let a process start without the confinement that was asked for: no such LSM in the kernel is an error.
 */
#include "runtime/process.h"

#include "spec/cleanup.h"

#include <fcntl.h>
#include <string.h>

/* AppArmor has its own directory since Linux 5.8; before that, and for SELinux, the file is shared by whichever LSM
 * comes first, which refuses the other's words. */
static const char *const apparmor_files[] = { "thread-self/attr/apparmor/exec", "thread-self/attr/exec" };
static const char *const selinux_files[] = { "thread-self/attr/exec" };

static int write_label(const char *const *files, size_t count, const char *text, struct error *err)
{
	_cleanup_close_ int fd = -1;
	size_t length = strlen(text);
	ssize_t written;

	for (size_t i = 0; i < count && fd < 0; i++) {
		fd = process_open_proc(files[i], O_WRONLY, err);
		if (fd < 0 && err->number != ENOENT)
			return -1;
	}
	if (fd < 0)
		return -1;
	written = write(fd, text, length); /* one write: the kernel takes each as a whole */
	if (written != (ssize_t)length)
		return error_set(err, written < 0 ? errno : EIO, "cannot write /proc/%s", files[count - 1]);
	return 0;
}

/* EINVAL and ENOENT of both the file and the write: the LSM is not there, or does not know the name. */
static int label_fault(
	const char *path, const char *value, const char *system, const char *mend, struct error *err)
{
	if (err->number == EINVAL || err->number == ENOENT || err->number == EOPNOTSUPP)
		return error_set(err, err->number,
			"%s: cannot use \"%s\": %s is not enabled in this kernel, or %s", path, value, system,
			mend);
	return error_wrap(err, "%s: cannot use \"%s\"", path, value);
}

static int set_apparmor(const char *profile, struct error *err)
{
	_cleanup_free_ char *command = NULL;

	/* Nothing is asked for: also right where there is no AppArmor. */
	if (!profile || !*profile || strcmp(profile, "unconfined") == 0)
		return 0;
	if (asprintf(&command, "exec %s", profile) < 0)
		return error_set(err, ENOMEM, "process.apparmorProfile");
	if (write_label(apparmor_files, ARRAY_SIZE(apparmor_files), command, err) < 0)
		return label_fault("process.apparmorProfile", profile, "AppArmor",
			"the profile is not loaded; load it or leave the property out", err);
	return 0;
}

static int set_selinux(const char *label, struct error *err)
{
	if (!label || !*label)
		return 0;
	if (write_label(selinux_files, ARRAY_SIZE(selinux_files), label, err) < 0)
		return label_fault("process.selinuxLabel", label, "SELinux",
			"its policy has no such label; correct it or leave the property out", err);
	return 0;
}

int process_set_labels(const struct oci_process *process, struct error *err)
{
	if (set_apparmor(process->apparmor_profile, err) < 0)
		return -1;
	return set_selinux(process->selinux_label, err);
}
