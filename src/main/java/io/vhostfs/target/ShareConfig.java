package io.vhostfs.target;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * One share: a directory of a file system offered as one virtio-fs device.
 *
 * @param tag the name the guest mounts, 1 to 36 bytes
 * @param socket where the vhost-user socket is made; null when {@code fd} is given
 * @param fd an inherited listening or connected socket; -1 when {@code socket} is given
 * @param device the name of its block device; empty when there is only one
 * @param root absolute path of the shared directory within the file system
 * @param mode how clients may cache
 * @param queues request queues offered, 1 to {@link #MAX_QUEUES}
 */
public record ShareConfig(
        String tag, @Nullable Path socket, int fd, String device, String root, Mode mode, int queues) {
    /** More request queues than a guest of today has processors to fill them from one device. */
    public static final int MAX_QUEUES = 64;

    /** virtio 1.2, 5.11.4: the tag field of the configuration space. */
    private static final int MAX_TAG_BYTES = 36;

    /** Who else may use the share. */
    public enum Mode {
        /** One client: its kernel may cache as a local file system's does. */
        EXCLUSIVE,
        /** Several clients: attributes and entries are asked for again, data is checked at open. */
        SHARED
    }

    /** Reads {@code tag=T,socket=PATH[,bdev=NAME][,root=/sub][,mode=exclusive|shared][,queues=N]}. */
    public static ShareConfig parse(String text) {
        KeyValues values = new KeyValues("share", text);
        String tag = values.require("tag");
        if (tag.getBytes(StandardCharsets.UTF_8).length > MAX_TAG_BYTES) {
            throw values.wrong("a tag has at most " + MAX_TAG_BYTES + " bytes");
        }
        int fd = values.takeInt("fd", -1, 0, Integer.MAX_VALUE);
        String socket = values.take("socket");
        if ((socket == null || socket.isEmpty()) == (fd < 0)) {
            throw values.wrong("exactly one of socket= and fd= is needed");
        }
        String root = values.take("root", "/");
        if (!root.startsWith("/")) {
            throw values.wrong("root= must be an absolute path within the store");
        }
        Mode mode = mode(values);
        int queues = values.takeInt("queues", 1, 1, MAX_QUEUES);
        String device = values.take("bdev", "");
        values.expectEmpty("tag, socket, fd, bdev, root, mode, queues");
        return new ShareConfig(tag, socket == null ? null : Path.of(socket), fd, device, root, mode, queues);
    }

    private static Mode mode(KeyValues values) {
        String mode = values.take("mode", "exclusive");
        return switch (mode.toLowerCase(Locale.ROOT)) {
            case "exclusive" -> Mode.EXCLUSIVE;
            case "shared" -> Mode.SHARED;
            default -> throw values.wrong("mode= is exclusive or shared, not '" + mode + "'");
        };
    }

    /** What to call it in messages. */
    public String describe() {
        return "share " + tag;
    }
}
