package io.vhostfs.target;

import io.vhostfs.bdev.BlockDeviceSpec;
import io.vhostfs.fsdev.AccessTimes;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Locale;
import java.util.function.ToLongFunction;
import org.jspecify.annotations.Nullable;

/**
 * One share: a directory of a file system offered as one virtio-fs device, mounted on this host, or both.
 *
 * @param tag the name the guest mounts, 1 to 36 bytes
 * @param socket where the vhost-user socket is made; null when there is none
 * @param fd an inherited listening or connected socket, instead of {@code socket}; -1 when there is none
 * @param mount the directory of this host where the share is mounted; null when it is not
 * @param privileged whether set-user-ID bits and device files mean something in that mount
 * @param uring whether that mount's requests come through io_uring where the kernel has that
 * @param device the name of its block device; empty when there is only one
 * @param root absolute path of the shared directory within the file system
 * @param mode how clients may cache
 * @param noOpen whether the client's kernel is told to do without OPEN; only where it is the only one
 * @param accessTimes when what is read gets a new access time
 * @param queues request queues offered, and channels of the mount, 1 to {@link #MAX_QUEUES}
 * @param quota what the shared directory and all below it may use; null: what was said last, or no limit
 */
public record ShareConfig(
        String tag,
        @Nullable Path socket,
        int fd,
        @Nullable Path mount,
        boolean privileged,
        boolean uring,
        String device,
        String root,
        Mode mode,
        boolean noOpen,
        AccessTimes accessTimes,
        int queues,
        @Nullable Quota quota) {
    /** More request queues than a guest of today has processors to fill them from one device. */
    public static final int MAX_QUEUES = 64;

    /** virtio 1.2, 5.11.4: the tag field of the configuration space. */
    private static final int MAX_TAG_BYTES = 36;

    /**
     * Limits of a share.
     *
     * @param maxBytes 0 for no limit
     * @param maxInodes 0 for no limit
     */
    public record Quota(long maxBytes, long maxInodes) {}

    /** Who else may use the share. */
    public enum Mode {
        /** One client: its kernel may cache as a local file system's does. */
        EXCLUSIVE,
        /** Several clients: attributes and entries are asked for again, data is checked at open. */
        SHARED
    }

    /**
     * Reads {@code tag=T,socket=PATH[,bdev=NAME][,root=/sub][,mode=exclusive|shared][,no-open=on|off]
     * [,atime=off|relative|strict][,queues=N]}, with {@code mount=DIR[,privileged=on][,uring=auto|off]} instead of or beside
     * the socket, and {@code [,quota=SIZE|none][,inodes=N|none]}.
     */
    public static ShareConfig parse(String text) {
        KeyValues values = new KeyValues("share", text);
        String tag = values.require("tag");
        if (tag.getBytes(StandardCharsets.UTF_8).length > MAX_TAG_BYTES) {
            throw values.wrong("a tag has at most " + MAX_TAG_BYTES + " bytes");
        }
        int fd = values.takeInt("fd", -1, 0, Integer.MAX_VALUE);
        Path socket = path(values, "socket");
        Path mount = path(values, "mount");
        if (socket != null && fd >= 0) {
            throw values.wrong("socket= and fd= are the same thing; remedy: leave one out");
        }
        boolean hasGuest = socket != null || fd >= 0;
        if (!hasGuest && mount == null) {
            throw values.wrong("socket=, fd= or mount= is needed");
        }
        boolean privileged = isOther(values, "privileged", "off", "on", "mount=", mount != null);
        boolean uring = !isOther(values, "uring", "auto", "off", "mount=", mount != null);
        String root = values.take("root", "/");
        if (!root.startsWith("/")) {
            throw values.wrong("root= must be an absolute path within the store");
        }
        Mode mode = mode(values, hasGuest && mount != null);
        boolean noOpen = isOther(values, "no-open", "off", "on", "mode=exclusive", mode == Mode.EXCLUSIVE);
        AccessTimes accessTimes = accessTimes(values);
        int queues = values.takeInt("queues", 1, 1, MAX_QUEUES);
        String device = values.take("bdev", "");
        Quota quota = quota(values);
        values.expectEmpty(
                "tag, socket, fd, mount, privileged, uring, bdev, root, mode, no-open, atime, queues, quota, inodes");
        return new ShareConfig(
                tag, socket, fd, mount, privileged, uring, device, root, mode, noOpen, accessTimes, queues, quota);
    }

    /** One limit without the other leaves the other away. */
    private static @Nullable Quota quota(KeyValues values) {
        String bytes = values.take("quota");
        String inodes = values.take("inodes");
        if (bytes == null && inodes == null) {
            return null;
        }
        long maxBytes = limit(values, "quota", bytes, BlockDeviceSpec::parseSize);
        long maxInodes = limit(values, "inodes", inodes, Long::parseLong);
        return new Quota(maxBytes, maxInodes);
    }

    private static long limit(KeyValues values, String key, @Nullable String text, ToLongFunction<String> parser) {
        if (text == null || text.equals("none")) {
            return 0;
        }
        try {
            long limit = parser.applyAsLong(text);
            if (limit > 0) {
                return limit;
            }
        } catch (IllegalArgumentException e) {
            // said below, as for a number that limits nothing
        }
        throw values.wrong("'" + key + "=" + text + "' is neither a number from 1 on nor none");
    }

    private static @Nullable Path path(KeyValues values, String key) {
        String path = values.take(key, "");
        return path.isEmpty() ? null : Path.of(path);
    }

    /** Whether a key that only means something beside another has its other value instead of its usual one. */
    private static boolean isOther(
            KeyValues values, String key, String usual, String other, String beside, boolean isThere) {
        String text = values.take(key, usual);
        if (!text.equals(usual) && !text.equals(other)) {
            throw values.wrong(key + "= is " + usual + " or " + other + ", not '" + text + "'");
        }
        if (text.equals(other) && !isThere) {
            throw values.wrong(key + "= says something about " + beside + ", which is not there");
        }
        return text.equals(other);
    }

    /** A guest and this host are two clients: only {@code shared} is true of them. */
    private static Mode mode(KeyValues values, boolean hasTwoClients) {
        String mode = values.take("mode", hasTwoClients ? "shared" : "exclusive");
        return switch (mode.toLowerCase(Locale.ROOT)) {
            case "exclusive" -> {
                if (hasTwoClients) {
                    throw values.wrong("a guest and the mount are two clients; remedy: mode=shared, or two shares");
                }
                yield Mode.EXCLUSIVE;
            }
            case "shared" -> Mode.SHARED;
            default -> throw values.wrong("mode= is exclusive or shared, not '" + mode + "'");
        };
    }

    private static AccessTimes accessTimes(KeyValues values) {
        String text = values.take("atime", "off");
        return switch (text) {
            case "off" -> AccessTimes.OFF;
            case "relative" -> AccessTimes.RELATIVE;
            case "strict" -> AccessTimes.STRICT;
            default -> throw values.wrong("atime= is off, relative or strict, not '" + text + "'");
        };
    }

    /** Whether guests can attach: it has a socket. */
    public boolean hasDevice() {
        return socket != null || fd >= 0;
    }

    /** What to call it in messages. */
    public String describe() {
        return "share " + tag;
    }
}
