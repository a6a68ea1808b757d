package io.vhostfs.blobfs;

import io.vhostfs.fsdev.FileSystem;
import io.vhostfs.fsdev.FsRequest;
import io.vhostfs.reactor.Message;
import org.jspecify.annotations.Nullable;

/** Requests of reactors other than home: brought home and back. */
final class RemoteAccess {
    private RemoteAccess() {}

    /** On the context's reactor: PENDING or the final status. */
    static int submit(IoContext context, FsRequest r) {
        Route route = context.obtainRoute();
        route.request = r;
        route.isBack = false;
        r.route = route;
        context.fileSystem.home().send(r);
        return FileSystem.PENDING;
    }

    /** At home: sends the request back to where it came from. */
    static void complete(FsRequest r, int status) {
        if (!(r.route instanceof Route route)) {
            throw new IllegalStateException("request without a way back");
        }
        route.status = status;
        route.isBack = true;
        r.origin.send(r);
    }

    /** What a travelling request does where it arrives. Belongs to the context of its origin. */
    static final class Route implements Message {
        private final IoContext context;
        private @Nullable FsRequest request;
        private int status;
        private boolean isBack;

        @Nullable
        Route nextFree;

        Route(IoContext context) {
            this.context = context;
        }

        @Override
        public void run() {
            FsRequest r = request;
            if (r == null) {
                throw new IllegalStateException("route without a request");
            }
            if (!isBack) {
                int result = context.fileSystem.runAtHome(r);
                if (result != FileSystem.PENDING) {
                    complete(r, result);
                }
                return;
            }
            int result = status;
            request = null;
            r.route = null;
            context.releaseRoute(this);
            r.onComplete(result);
        }
    }
}
