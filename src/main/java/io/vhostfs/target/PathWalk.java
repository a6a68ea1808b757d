package io.vhostfs.target;

import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsClient;
import io.vhostfs.fsdev.FsOp;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.os.Errno;
import io.vhostfs.os.LibcConstants;
import io.vhostfs.reactor.Reactor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;

/** Finds a directory by its path, one lookup after the other. An ordinary thread waits for the home reactor. */
final class PathWalk {
    private final FileSystem fileSystem;
    private final Reactor home;

    PathWalk(FileSystem fileSystem, Reactor home) {
        this.fileSystem = fileSystem;
        this.home = home;
    }

    /**
     * The inode number of the directory at {@code path}, which symbolic links do not lead to.
     *
     * @throws ConfigException when there is none
     */
    long directory(String storeName, String path) throws InterruptedException {
        FsClient client = home.ask(() -> fileSystem.attach(FileSystem.ROOT_INODE));
        try {
            long inode = FileSystem.ROOT_INODE;
            for (String name : path.split("/", -1)) {
                if (!name.isEmpty()) {
                    inode = lookup(client, inode, name, storeName, path);
                }
            }
            return inode;
        } finally {
            home.ask(() -> {
                fileSystem.detach(client);
                return true;
            });
        }
    }

    private long lookup(FsClient client, long directory, String name, String storeName, String path)
            throws InterruptedException {
        try (Arena arena = Arena.ofShared()) {
            MemorySegment bytes = arena.allocateFrom(name, StandardCharsets.UTF_8);
            Lookup request = new Lookup(client, home);
            request.operation = FsOp.LOOKUP;
            request.inode = directory;
            request.nameAddress = bytes.address();
            request.nameLength = (int) bytes.byteSize() - 1;
            home.send(() -> {
                int status = fileSystem.submit(request);
                if (status != FileSystem.PENDING) {
                    request.done.complete(status);
                }
            });
            int status = request.done.get();
            if (status < 0) {
                throw wrong(storeName, path, name + ": " + Errno.name(status));
            }
            if ((request.attributes.mode & LibcConstants.S_IFMT) != LibcConstants.S_IFDIR) {
                throw wrong(storeName, path, name + " is no directory");
            }
            return request.attributes.inode;
        } catch (ExecutionException e) {
            throw new IllegalStateException(e.getCause());
        }
    }

    private static ConfigException wrong(String storeName, String path, String problem) {
        return new ConfigException("root=" + path + " in " + storeName + ": " + problem
                + "; remedy: make the directory through a share of the whole store first");
    }

    private static final class Lookup extends FsRequest {
        private final CompletableFuture<Integer> done = new CompletableFuture<>();

        Lookup(FsClient client, Reactor origin) {
            super(client, origin);
        }

        @Override
        public void onComplete(int status) {
            done.complete(status);
        }
    }
}
